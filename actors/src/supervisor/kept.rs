//! The interface of a child to its supervisor, with the message type erased.

use core::any::{Any as Typed, type_name};

use crate::address::ActorRef;
use crate::cell::Any;
use crate::keeping;

/// A supervised actor, with its message type erased.
pub(super) trait Kept: Send {
    fn any(&self) -> &Any;
    /// See [`keeping::close`].
    fn close(&self);
    /// See [`keeping::end_for_good`].
    fn end_for_good(&self);
    /// Returns the `ActorRef` itself, for a downcast.
    fn typed(&self) -> &dyn Typed;
    fn message_type(&self) -> &'static str;
}

impl<M: Send + 'static> Kept for ActorRef<M> {
    fn any(&self) -> &Any {
        ActorRef::any(self)
    }

    fn close(&self) {
        keeping::close(self.process());
    }

    fn end_for_good(&self) {
        keeping::end_for_good(self.process());
    }

    fn typed(&self) -> &dyn Typed {
        self
    }

    fn message_type(&self) -> &'static str {
        type_name::<M>()
    }
}
