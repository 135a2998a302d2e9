//! `select!` and `select_biased!`: thin syntax over the functions in `internal`.
//!
//! The arms are read one by one into a list, then each operand is bound, in source order, by a `match` around the rest
//! (so that temporaries live as long as the whole), and at last the chosen arm is looked up by its number. The bodies
//! stand in the caller's function: `break`, `return` and `?` work in them.

/// Does the first of several channel operations that can be done, and then what its arm says. Waits until there is one.
///
/// ```text
/// select! {
///     recv(receiver) -> result => …,         // result: Result<T, RecvError>
///     send(sender, message) -> result => …,  // result: Result<(), SendError<T>>
///     default => …,                          // optional: if none can be done now
///     default(duration) => …,                // instead: if none can be done in time
/// }
/// ```
///
/// Of several that can be done a random one is chosen, each as likely as the others;
/// [`select_biased!`](crate::select_biased!) prefers the first. An operation can be done if it would not wait, be it
/// because it would fail.
///
/// Receivers and senders are evaluated once, in source order; a message only when its arm has been chosen. An arm is
/// switched off with [`never`](crate::never).
///
/// # Parks
///
/// Until an operation can be done, unless there is a `default`.
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
/// With a time-out:
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

/// As [`select!`](crate::select!), preferring the arm that stands first among those that can be done.
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
            "expected `recv(receiver) -> pattern => …`, `send(sender, message) -> pattern => …`, `default => …` or \
             `default(duration) => …`, with a comma after an arm that is not a block"
        )
    };

    // What kind of arm it is.
    (@arm $biased:tt ($($arms:tt)*) $default:tt (recv ($rx:expr $(,)?) ($res:pat) $body:tt) $($rest:tt)*) => {
        $crate::__kahn_select!(@list $biased ($($arms)* (recv ($rx) () ($res) $body)) $default $($rest)*)
    };
    (@arm $biased:tt ($($arms:tt)*) $default:tt
        (send ($tx:expr, $msg:expr $(,)?) ($res:pat) $body:tt) $($rest:tt)*
    ) => {
        $crate::__kahn_select!(@list $biased ($($arms)* (send ($tx) ($msg) ($res) $body)) $default $($rest)*)
    };
    (@arm $biased:tt $arms:tt () (default ($($timeout:expr $(,)?)?) () $body:tt) $($rest:tt)*) => {
        $crate::__kahn_select!(@list $biased $arms (($($timeout)?) $body) $($rest)*)
    };
    (@arm $biased:tt $arms:tt ($($default:tt)+) (default $($arm:tt)*) $($rest:tt)*) => {
        ::core::compile_error!("there can be only one `default` case in a `select!` block")
    };
    (@arm $biased:tt $arms:tt $default:tt ($case:ident $args:tt $res:tt $body:tt) $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected `recv(receiver) -> pattern`, `send(sender, message) -> pattern`, `default` or \
             `default(duration)` before `=>`, found `",
            ::core::stringify!($case $args),
            "`"
        ))
    };

    // Binding the operands: `@bind biased (bound) (unbound) (default)`. Each `operand` is a name of its own.
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

    // Choosing.
    (@bind $biased:tt ($(($case:ident $operand:ident $msg:tt $res:tt $body:tt))*) () ()) => {{
        let chosen = $crate::internal::select(&mut [$($crate::internal::$case($operand)),*], $biased);
        $crate::__kahn_select!(@complete chosen (0) $(($case $operand $msg $res $body))*)
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
            ::core::option::Option::Some(chosen) => {
                $crate::__kahn_select!(@complete chosen (0) $(($case $operand $msg $res $body))*)
            }
        }
    };
    (@timeout) => { ::core::option::Option::None };
    (@timeout $timeout:expr) => { ::core::option::Option::Some($timeout) };

    // Completing the arm with the chosen number.
    (@complete $chosen:ident ($at:expr)) => {
        ::core::unreachable!("an arm that is not there was chosen")
    };
    (@complete $chosen:ident ($at:expr)
        (recv $rx:ident () ($res:pat) $body:tt) $($more:tt)*
    ) => {
        if $chosen.index() == $at {
            let result = $chosen.recv($rx);
            let $res = result;
            $body
        } else {
            $crate::__kahn_select!(@complete $chosen ($at + 1) $($more)*)
        }
    };
    (@complete $chosen:ident ($at:expr)
        (send $tx:ident ($msg:expr) ($res:pat) $body:tt) $($more:tt)*
    ) => {
        if $chosen.index() == $at {
            let held = $chosen.hold();
            let msg = $msg;
            let result = held.send($tx, msg);
            let $res = result;
            $body
        } else {
            $crate::__kahn_select!(@complete $chosen ($at + 1) $($more)*)
        }
    };
}
