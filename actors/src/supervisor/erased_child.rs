//! The interface of a child to its supervisor, with the message type erased.

use core::any::{Any as Typed, type_name};

use crate::address::ActorRef;
use crate::cell::AnyActor;
use crate::supervision;

/// A supervised actor, with its message type erased.
pub(super) trait ErasedChild: Send {
    fn any(&self) -> &AnyActor;
    /// See [`supervision::close`].
    fn close(&self);
    /// See [`supervision::end_for_good`].
    fn end_for_good(&self);
    /// Returns the `ActorRef` itself, for a downcast.
    fn typed(&self) -> &dyn Typed;
    fn message_type(&self) -> &'static str;
}

impl<M: Send + 'static> ErasedChild for ActorRef<M> {
    fn any(&self) -> &AnyActor {
        ActorRef::any(self)
    }

    fn close(&self) {
        supervision::close(self.process());
    }

    fn end_for_good(&self) {
        supervision::end_for_good(self.process());
    }

    fn typed(&self) -> &dyn Typed {
        self
    }

    fn message_type(&self) -> &'static str {
        type_name::<M>()
    }
}
