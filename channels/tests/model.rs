//! Random sequences of operations against a model: a channel against a `VecDeque`, a select against
//! crossbeam-channel's.

use std::collections::VecDeque;

use kahn_channels::{Select, TryRecvError, TrySendError, bounded};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Send(u8),
    Recv,
    Many(usize),
    Close,
    DropSender,
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => any::<u8>().prop_map(Step::Send),
        8 => Just(Step::Recv),
        2 => (0_usize..4).prop_map(Step::Many),
        2 => Just(Step::Look),
        1 => Just(Step::Close),
        1 => Just(Step::DropSender),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 500 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn channel_is_a_bounded_queue(cap in 0_usize..5, steps in steps()) {
        let (tx, rx) = bounded(cap);
        let mut tx = Some(tx);
        let (mut model, mut closed) = (VecDeque::new(), false);
        for step in steps {
            match step {
                Step::Send(n) => {
                    let Some(tx) = &tx else { continue };
                    let expected = if closed {
                        Err(TrySendError::Disconnected(n))
                    } else if model.len() == cap {
                        Err(TrySendError::Full(n))
                    } else {
                        model.push_back(n);
                        Ok(())
                    };
                    prop_assert_eq!(tx.try_send(n), expected);
                }
                Step::Recv => {
                    let empty = if closed { TryRecvError::Disconnected } else { TryRecvError::Empty };
                    prop_assert_eq!(rx.try_recv(), model.pop_front().ok_or(empty));
                }
                Step::Many(max) => {
                    if model.is_empty() && !closed {
                        continue;
                    }
                    let mut got = Vec::new();
                    let count = rx.recv_many(&mut got, max);
                    let expected: Vec<_> = model.drain(..max.min(model.len())).collect();
                    prop_assert_eq!(count.is_ok(), max == 0 || !expected.is_empty());
                    prop_assert_eq!(got, expected);
                }
                Step::Close => {
                    rx.close();
                    closed = true;
                }
                Step::DropSender => {
                    tx = None;
                    closed = true;
                }
                Step::Look => {
                    prop_assert_eq!(rx.len(), model.len());
                    prop_assert_eq!(rx.is_empty(), model.is_empty());
                    prop_assert_eq!(rx.is_full(), model.len() == cap);
                }
            }
        }
    }

    /// The same operations on our channels and on crossbeam's: the same arms are ready, with the same results.
    #[test]
    fn select_chooses_as_crossbeams_does(
        caps in prop::collection::vec(0_usize..3, 1..5),
        steps in prop::collection::vec((0_usize..5, 0_u8..6, any::<u8>()), 0..60),
    ) {
        let mut ours: Vec<_> = caps.iter().map(|cap| { let (tx, rx) = bounded::<u8>(*cap); (Some(tx), rx) }).collect();
        let mut theirs: Vec<_> =
            caps.iter().map(|cap| { let (tx, rx) = crossbeam_channel::bounded::<u8>(*cap); (Some(tx), rx) }).collect();
        for (at, what, n) in steps {
            let at = at % caps.len();
            match what {
                0 => {
                    ours[at].0 = None;
                    theirs[at].0 = None;
                }
                1 | 2 => {
                    if let (Some(one), Some(other)) = (&ours[at].0, &theirs[at].0) {
                        prop_assert_eq!(one.try_send(n).is_ok(), other.try_send(n).is_ok());
                    }
                }
                3 => prop_assert_eq!(ours[at].1.try_recv().ok(), theirs[at].1.try_recv().ok()),
                _ => {
                    // Biased, so that both choose the first that is ready; every channel is there, half of them to
                    // send.
                    let mut one = Select::new_biased();
                    let mut other = crossbeam_channel::Select::new_biased();
                    let sends = |at: usize| (usize::from(n) >> at) & 1 == 1;
                    for at in 0..caps.len() {
                        match (&ours[at].0, &theirs[at].0) {
                            (Some(ours), Some(theirs)) if sends(at) => {
                                prop_assert_eq!(one.send(ours), other.send(theirs));
                            }
                            _ => prop_assert_eq!(one.recv(&ours[at].1), other.recv(&theirs[at].1)),
                        }
                    }
                    prop_assert_eq!(one.try_ready().ok(), other.try_ready().ok());
                    match (one.try_select(), other.try_select()) {
                        (Ok(one), Ok(other)) => {
                            prop_assert_eq!(one.index(), other.index());
                            let at = one.index();
                            match (&ours[at].0, &theirs[at].0) {
                                (Some(ours), Some(theirs)) if sends(at) => {
                                    prop_assert_eq!(one.send(ours, n).is_ok(), other.send(theirs, n).is_ok());
                                }
                                _ => prop_assert_eq!(one.recv(&ours[at].1).ok(), other.recv(&theirs[at].1).ok()),
                            }
                        }
                        (one, other) => prop_assert!(one.is_err() && other.is_err()),
                    }
                }
            }
        }
    }
}
