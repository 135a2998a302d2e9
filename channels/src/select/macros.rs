//! The macros `select!` and `select_biased!`: a thin syntax over the functions in `internal`.
//!
//! First the arms are read one by one into a list. Then each operand is bound, in source order, by a `match` around the
//! remaining expansion, so that temporaries live as long as the whole. Last, the selected arm is found by its number.
//! The bodies are expanded in the caller's function, so `break`, `return` and `?` work in them.

/// Waits until one of several operations can be done, does it, and runs the body of its arm.
///
/// ```text
/// select! {
///     recv(receiver) -> result => …,         // result: Result<T, RecvError>
///     send(sender, message) -> result => …,  // result: Result<(), SendError<T>>
///     wait(future) -> output => …,           // anything that async code can await
///     default => …,                          // optional: runs if no operation can be done now
///     default(duration) => …,                // instead of it: runs if none can be done in time
/// }
/// ```
///
/// If several operations can be done, one of them is selected at random, with equal probability.
/// [`select_biased!`](crate::select_biased!) prefers the first. An operation can be done if it would not wait. This
/// includes an operation that would fail.
///
/// Receivers and senders are evaluated once, in source order. A message is evaluated only if its arm has been selected.
/// To switch off an arm, use [`never`](crate::never).
///
/// An arm `wait(future)` takes any value that async code could await: a join handle (`&mut handle`, so that it is there
/// afterwards), a oneshot's receiver, a future of `recv_async`, `changed_async` or `readable_async`. Its future is dropped
/// before the body of the selected arm runs, whether it has finished or not.
///
/// # Parks
///
/// Parks until an operation can be done. With `default(duration)`, parks for at most `duration`. With `default`, does
/// not wait. With capacity 0, a receive may also wait for the message of a sender that it has met, as
/// [`Receiver::try_recv`](crate::Receiver::try_recv) does.
///
/// # Examples
///
/// ```
/// use kahn::channel::{bounded, select};
///
/// let (tx1, rx1) = bounded(1);
/// let (tx2, rx2) = bounded(1);
/// tx1.send(10).unwrap();
/// let sum = select! {
///     recv(rx1) -> msg => msg.unwrap() + 1,
///     send(tx2, 20) -> res => {
///         res.unwrap();
///         rx2.recv().unwrap()
///     }
/// };
/// assert!(sum == 11 || sum == 20);
/// ```
///
/// With a green thread's handle:
///
/// ```
/// use kahn::channel::{bounded, select};
///
/// let (_cancel, cancelled) = bounded::<()>(0);
/// let mut worker = kahn::spawn(|| 6 * 7);
/// select! {
///     wait(&mut worker) -> result => assert_eq!(result.unwrap(), 42),
///     recv(cancelled) -> _ => worker.cancel(),
/// }
/// ```
///
/// With a timeout:
///
/// ```
/// use kahn::channel::{bounded, select};
/// use std::time::Duration;
///
/// let (_tx, rx) = bounded::<()>(0);
/// select! {
///     recv(rx) -> _ => unreachable!(),
///     default(Duration::from_millis(5)) => {}
/// }
/// ```
#[macro_export]
macro_rules! select {
    ($($tokens:tt)*) => {
        $crate::__kahn_select!(@list false () () $($tokens)*)
    };
}

/// Like [`select!`](crate::select!), but prefers the first arm among those that can be done.
///
/// # Examples
///
/// ```
/// use kahn::channel::{bounded, select_biased};
///
/// let (tx1, rx1) = bounded(1);
/// let (tx2, rx2) = bounded(1);
/// tx1.send(1).unwrap();
/// tx2.send(2).unwrap();
/// select_biased! {
///     recv(rx1) -> msg => assert_eq!(msg, Ok(1)),
///     recv(rx2) -> _ => unreachable!(),
/// }
/// ```
#[macro_export]
macro_rules! select_biased {
    ($($tokens:tt)*) => {
        $crate::__kahn_select!(@list true () () $($tokens)*)
    };
}

/// The expansion of the select macros. Not covered by semver.
#[doc(hidden)]
#[macro_export]
macro_rules! __kahn_select {
    // Reading the arms: `@list biased (arms) (default) tokens`.
    (@list $biased:tt () ()) => {
        ::core::compile_error!("empty `select!` block")
    };
    (@list $biased:tt $arms:tt $default:tt) => {
        $crate::__kahn_select!(@bind $biased () $arms $default)
    };
    (@list $biased:tt $arms:tt $default:tt
        $case:ident $(($($args:tt)*))? $(-> $res:pat)? => { $($body:tt)* }, $($rest:tt)*
    ) => {
        $crate::__kahn_select!(@arm $biased $arms $default
            ($case ($($($args)*)?) ($($res)?) { $($body)* }) $($rest)*)
    };
    (@list $biased:tt $arms:tt $default:tt
        $case:ident $(($($args:tt)*))? $(-> $res:pat)? => { $($body:tt)* } $($rest:tt)*
    ) => {
        $crate::__kahn_select!(@arm $biased $arms $default
            ($case ($($($args)*)?) ($($res)?) { $($body)* }) $($rest)*)
    };
    (@list $biased:tt $arms:tt $default:tt
        $case:ident $(($($args:tt)*))? $(-> $res:pat)? => $body:expr, $($rest:tt)*
    ) => {
        $crate::__kahn_select!(@arm $biased $arms $default
            ($case ($($($args)*)?) ($($res)?) { $body }) $($rest)*)
    };
    (@list $biased:tt $arms:tt $default:tt
        $case:ident $(($($args:tt)*))? $(-> $res:pat)? => $body:expr
    ) => {
        $crate::__kahn_select!(@arm $biased $arms $default
            ($case ($($($args)*)?) ($($res)?) { $body }))
    };
    (@list $biased:tt $arms:tt $default:tt $($rest:tt)*) => {
        ::core::compile_error!(
            "expected `recv(receiver) -> pattern => …`, `send(sender, message) -> pattern => …`, \
             `wait(future) -> pattern => …`, `default => …` or `default(duration) => …`, with a comma after an arm that \
             is not a block"
        )
    };

    // Recognising the kind of an arm.
    (@arm $biased:tt ($($arms:tt)*) $default:tt (recv ($rx:expr $(,)?) ($res:pat) $body:tt) $($rest:tt)*) => {
        $crate::__kahn_select!(@list $biased ($($arms)* (recv ($rx) () ($res) $body)) $default $($rest)*)
    };
    (@arm $biased:tt ($($arms:tt)*) $default:tt
        (send ($tx:expr, $msg:expr $(,)?) ($res:pat) $body:tt) $($rest:tt)*
    ) => {
        $crate::__kahn_select!(@list $biased ($($arms)* (send ($tx) ($msg) ($res) $body)) $default $($rest)*)
    };
    (@arm $biased:tt ($($arms:tt)*) $default:tt (wait ($future:expr $(,)?) ($res:pat) $body:tt) $($rest:tt)*) => {
        $crate::__kahn_select!(@list $biased ($($arms)* (wait ($future) () ($res) $body)) $default $($rest)*)
    };
    (@arm $biased:tt $arms:tt () (default ($($timeout:expr $(,)?)?) () $body:tt) $($rest:tt)*) => {
        $crate::__kahn_select!(@list $biased $arms (($($timeout)?) $body) $($rest)*)
    };
    (@arm $biased:tt $arms:tt ($($default:tt)+) (default $($arm:tt)*) $($rest:tt)*) => {
        ::core::compile_error!("there can be only one `default` case in a `select!` block")
    };
    (@arm $biased:tt $arms:tt $default:tt ($case:ident $args:tt $res:tt $body:tt) $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected `recv(receiver) -> pattern`, `send(sender, message) -> pattern`, `wait(future) -> pattern`, \
             `default` or `default(duration)` before `=>`, found `",
            ::core::stringify!($case $args),
            "`"
        ))
    };

    // Binding the operands: `@bind biased (bound) (unbound) (default)`. Macro hygiene makes each `operand` a distinct
    // name.
    (@bind $biased:tt ($($bound:tt)*)
        ((recv ($rx:expr) $msg:tt $res:tt $body:tt) $($arms:tt)*) $default:tt
    ) => {
        match $rx {
            ref operand => {
                let operand: &$crate::Receiver<_> = operand;
                $crate::__kahn_select!(@bind $biased
                    ($($bound)* (recv operand $msg $res $body)) ($($arms)*) $default)
            }
        }
    };
    (@bind $biased:tt ($($bound:tt)*)
        ((send ($tx:expr) $msg:tt $res:tt $body:tt) $($arms:tt)*) $default:tt
    ) => {
        match $tx {
            ref operand => {
                let operand: &$crate::Sender<_> = operand;
                $crate::__kahn_select!(@bind $biased
                    ($($bound)* (send operand $msg $res $body)) ($($arms)*) $default)
            }
        }
    };

    (@bind $biased:tt ($($bound:tt)*)
        ((wait ($future:expr) $msg:tt $res:tt $body:tt) $($arms:tt)*) $default:tt
    ) => {
        match ::core::pin::pin!(::core::option::Option::Some(::core::future::IntoFuture::into_future($future))) {
            future => {
                let operand = $crate::internal::FutureCase::new(future);
                let operand = &operand;
                $crate::__kahn_select!(@bind $biased
                    ($($bound)* (wait operand $msg $res $body)) ($($arms)*) $default)
            }
        }
    };

    // Choosing an operation.
    (@bind $biased:tt ($(($case:ident $operand:ident $msg:tt $res:tt $body:tt))*) () ()) => {{
        let selected = $crate::internal::select(&mut [$($crate::internal::$case($operand)),*], $biased);
        $crate::__kahn_select!(@complete selected (0) $(($case $operand $msg $res $body))*)
    }};
    (@bind $biased:tt ($(($case:ident $operand:ident $msg:tt $res:tt $body:tt))*) ()
        (($($timeout:expr)?) $default:tt)
    ) => {
        match $crate::internal::select_or_default(
            &mut [$($crate::internal::$case($operand)),*],
            $biased,
            $crate::__kahn_select!(@timeout $($timeout)?),
        ) {
            ::core::option::Option::None => $default,
            ::core::option::Option::Some(selected) => {
                $crate::__kahn_select!(@complete selected (0) $(($case $operand $msg $res $body))*)
            }
        }
    };
    (@timeout) => { ::core::option::Option::None };
    (@timeout $timeout:expr) => { ::core::option::Option::Some($timeout) };

    // Completing the arm with the selected number.
    (@complete $selected:ident ($at:expr)) => {
        ::core::unreachable!("an arm that is not there was selected")
    };
    (@complete $selected:ident ($at:expr)
        (recv $rx:ident () ($res:pat) $body:tt) $($more:tt)*
    ) => {
        if $selected.index() == $at {
            let result = $selected.recv($rx);
            let $res = result;
            $body
        } else {
            $crate::__kahn_select!(@complete $selected ($at + 1) $($more)*)
        }
    };
    (@complete $selected:ident ($at:expr)
        (wait $case:ident () ($res:pat) $body:tt) $($more:tt)*
    ) => {
        if $selected.index() == $at {
            let result = $selected.wait($case);
            let $res = result;
            $body
        } else {
            $crate::__kahn_select!(@complete $selected ($at + 1) $($more)*)
        }
    };
    (@complete $selected:ident ($at:expr)
        (send $tx:ident ($msg:expr) ($res:pat) $body:tt) $($more:tt)*
    ) => {
        if $selected.index() == $at {
            let held = $selected.hold();
            let msg = $msg;
            let result = held.send($tx, msg);
            let $res = result;
            $body
        } else {
            $crate::__kahn_select!(@complete $selected ($at + 1) $($more)*)
        }
    };
}
