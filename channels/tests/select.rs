//! Select, dynamic and as macros: the assertions of Go's and crossbeam's test suites.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kahn_channels::{
    Receiver, RecvError, Select, SendError, SendTimeoutError, TryRecvError, after, at, bounded, never,
    select, select_biased, tick,
};
use support::{everywhere, times, until};

/// doubleselect: one value is never delivered by two arms of one select.
#[test]
fn value_is_delivered_by_one_arm() {
    everywhere(|world| {
        let total = times(20_000);
        let (tx, rx) = bounded(0);
        let (tx2, rx2) = bounded(0);
        let (tx3, rx3) = bounded(0);
        let sender = world.spawn(move || {
            for n in 0..total {
                select! {
                    send(tx, n) -> res => res.unwrap(),
                    send(tx2, n) -> res => res.unwrap(),
                    send(tx3, n) -> res => res.unwrap(),
                }
            }
        });
        for n in 0..total {
            let got = select! {
                recv(rx) -> msg => msg,
                recv(rx2) -> msg => msg,
                recv(rx3) -> msg => msg,
            };
            assert_eq!(got, Ok(n));
        }
        sender.join();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    });
}

/// select3: what blocks and what does not.
#[test]
fn operations_are_ready_if_they_would_not_wait() {
    let (tx, rx) = bounded::<i32>(0);
    let (full, full_rx) = bounded(1);
    full.send(1).unwrap();
    let (room, empty) = bounded::<i32>(1);
    let (closed_tx, closed_rx) = bounded::<i32>(1);
    closed_tx.close();
    let none = never::<i32>();
    macro_rules! is_ready {
        ($($arm:tt)*) => {{ select! { $($arm)* -> _ => true, default => false } }};
    }
    assert!(!is_ready!(recv(rx)));
    assert!(!is_ready!(send(tx, 1)));
    assert!(!is_ready!(recv(none)));
    assert!(!is_ready!(recv(empty)));
    assert!(!is_ready!(send(full, 1)));
    assert!(is_ready!(recv(full_rx)));
    assert!(is_ready!(send(room, 1)));
    assert!(is_ready!(recv(empty)));
    assert!(is_ready!(recv(closed_rx)));
    assert!(is_ready!(send(closed_tx, 1)));
    // Itself: no rendezvous with oneself.
    let start = Instant::now();
    select! {
        recv(rx) -> _ => unreachable!(),
        send(tx, 1) -> _ => unreachable!(),
        default(Duration::from_millis(10)) => {}
    }
    assert!(start.elapsed() >= Duration::from_millis(10));
    // A buffer one can send into and receive from oneself.
    let (tx, rx) = bounded(1);
    for n in 0..10 {
        select! {
            recv(rx) -> msg => assert_eq!((n % 2, msg), (1, Ok(n - 1))),
            send(tx, n) -> res => assert_eq!((n % 2, res), (0, Ok(()))),
        }
    }
}

/// select4 and 5: operands once and in order; a message only for the arm that is selected.
#[test]
fn operands_are_evaluated_once_and_in_order() {
    let order = std::cell::RefCell::new(Vec::new());
    let note = |n: i32| order.borrow_mut().push(n);
    let (tx, rx) = bounded(1);
    let (tx2, rx2) = bounded::<i32>(1);
    select! {
        recv({ note(1); &rx2 }) -> _ => unreachable!(),
        send({ note(2); &tx }, { note(4); 7 }) -> res => { note(5); res.unwrap() }
        recv({ note(3); never::<i32>() }) -> _ => unreachable!(),
    }
    assert_eq!(*order.borrow(), [1, 2, 3, 4, 5]);
    assert_eq!(rx.recv(), Ok(7));
    // What is not selected is not moved.
    let text = String::from("still here");
    let (full, _keep) = bounded::<String>(0);
    tx2.send(1).unwrap();
    let text = select! {
        send(full, text) -> _ => unreachable!(),
        recv(rx2) -> _ => text,
    };
    assert_eq!(text, "still here");
}

/// The forms that arms and operands may have; flow out of an arm.
#[test]
fn macro_accepts_all_forms_of_arms() {
    fn flow(rx: &Receiver<i32>) -> Result<i32, RecvError> {
        let mut sum = 0;
        loop {
            select! {
                recv(rx) -> msg => match msg? {
                    0 => return Ok(sum),
                    1 => continue,
                    2 => break,
                    n => sum += n,
                },
            }
        }
        Ok(-sum)
    }
    let (tx, rx) = bounded(8);
    [1, 3, 4, 0].into_iter().for_each(|n| tx.send(n).unwrap());
    assert_eq!(flow(&rx), Ok(7));
    [5, 2].into_iter().for_each(|n| tx.send(n).unwrap());
    assert_eq!(flow(&rx), Ok(-5));
    tx.close();
    assert_eq!(flow(&rx), Err(RecvError));

    let (tx, rx) = bounded(1);
    let mut option = Some(rx.clone());
    select! { send(&tx, 1,) -> res => res.unwrap() }
    select!(recv(rx,) -> _msg => {});
    select! {
        recv(option.as_ref().unwrap_or(&never())) -> _ => unreachable!(),
        default() => option = None,
    }
    select! {
        recv(option.as_ref().unwrap_or(&never())) -> _ => unreachable!(),
        default(Duration::from_millis(1),) => { option = Some(rx) }
    };
    let got: i32 = select_biased! {
        recv(option.unwrap()) -> _ => 1,
        send(tx, 2) -> _ => 2,
        default => 3
    };
    assert_eq!(got, 2);
    // A message that fails to be made leaves the place free.
    let (tx, rx) = bounded::<i32>(1);
    let failed: Result<(), std::num::ParseIntError> = (|| {
        select! { send(tx, "x".parse()?) -> _ => Ok(()) }
    })();
    assert!(failed.is_err());
    assert_eq!((tx.try_send(1), rx.try_recv()), (Ok(()), Ok(1)));
}

/// select6: a losing select that is the last waiter does not corrupt the queue.
#[test]
fn losing_selects_leave_the_queues() {
    everywhere(|world| {
        for _ in 0..times(200) {
            let (tx1, rx1) = bounded::<i32>(0);
            let (tx2, rx2) = bounded::<i32>(0);
            let plain = {
                let rx1 = rx1.clone();
                world.spawn(move || rx1.recv())
            };
            let chooser = world.spawn(move || {
                select! {
                    recv(rx1) -> _ => 1,
                    recv(rx2) -> _ => 2,
                }
            });
            tx2.send(0).unwrap();
            assert_eq!(chooser.join(), 2);
            tx1.send(5).unwrap();
            assert_eq!(plain.join(), Ok(5));
        }
    });
}

/// SelfSelect: four threads send and receive on one channel in one select.
#[test]
fn selects_on_one_channel_pair_with_each_other_and_not_themselves() {
    everywhere(|world| {
        for cap in [0, 10] {
            let (tx, rx) = bounded(cap);
            let parts: Vec<_> = (0..2)
                .map(|part| {
                    let (tx, rx) = (tx.clone(), rx.clone());
                    world.spawn(move || {
                        for n in 0..times(1000) {
                            if part == 0 || n % 2 == 0 {
                                select! {
                                    send(tx, part) -> res => res.unwrap(),
                                    recv(rx) -> msg => assert!(cap > 0 || msg != Ok(part)),
                                }
                            } else {
                                select! {
                                    recv(rx) -> msg => assert!(cap > 0 || msg != Ok(part)),
                                    send(tx, part) -> res => res.unwrap(),
                                }
                            }
                        }
                    })
                })
                .collect();
            parts.into_iter().for_each(|part| part.join());
        }
    });
}

/// SelectStress: senders and receivers by select and without, at capacity 0 and more.
#[test]
fn selects_and_plain_operations_exchange_every_message() {
    everywhere(|world| {
        let each = times(10_000);
        let ends: Vec<_> = [0, 0, 2, 3].map(bounded::<usize>).into();
        let mut parts = Vec::new();
        for (tx, rx) in &ends {
            let tx = tx.clone();
            parts.push(world.spawn(move || (0..each).for_each(|_| tx.send(1).unwrap())));
            let rx = rx.clone();
            parts.push(world.spawn(move || (0..each).for_each(|_| assert_eq!(rx.recv(), Ok(1)))));
        }
        let txs: Vec<_> = ends.iter().map(|end| end.0.clone()).collect();
        parts.push(world.spawn(move || {
            let mut left = [each; 4];
            while left != [0; 4] {
                let mut select = Select::new();
                let mut arms = Vec::new();
                for at in (0..4).filter(|at| left[*at] > 0) {
                    select.send(&txs[at]);
                    arms.push(at);
                }
                let operation = select.select();
                let at = arms[operation.index()];
                operation.send(&txs[at], 1).unwrap();
                left[at] -= 1;
            }
        }));
        let rxs: Vec<_> = ends.iter().map(|end| end.1.clone()).collect();
        parts.push(world.spawn(move || {
            let mut left = [each; 4];
            while left != [0; 4] {
                let mut on: Vec<Receiver<usize>> = rxs.clone();
                for at in (0..4).filter(|at| left[*at] == 0) {
                    on[at] = never();
                }
                select! {
                    recv(on[0]) -> msg => left[0] -= msg.unwrap(),
                    recv(on[1]) -> msg => left[1] -= msg.unwrap(),
                    recv(on[2]) -> msg => left[2] -= msg.unwrap(),
                    recv(on[3]) -> msg => left[3] -= msg.unwrap(),
                }
            }
        }));
        parts.into_iter().for_each(|part| part.join());
    });
}

/// SelectFairness: two of four arms are ready; each is selected half of the time, within ten standard deviations.
#[test]
fn two_ready_arms_are_selected_equally_often() {
    let trials = times(10_000);
    let (tx1, rx1) = bounded(trials);
    let (tx2, rx2) = bounded(trials);
    let (_tx3, rx3) = bounded::<()>(0);
    for _ in 0..trials {
        tx1.send(()).unwrap();
        tx2.send(()).unwrap();
    }
    let mut counts = [0_i64; 2];
    for _ in 0..trials {
        select! {
            recv(rx3) -> _ => unreachable!(),
            recv(rx1) -> _ => counts[0] += 1,
            recv(rx2) -> _ => counts[1] += 1,
            recv(never::<()>()) -> _ => unreachable!(),
        }
    }
    let sigma = (trials as f64 * 0.25).sqrt();
    assert!((counts[0] as f64 - trials as f64 / 2.0).abs() < 10.0 * sigma, "{counts:?}");
}

/// PseudoRandomSend, and all arms of a dynamic select.
#[test]
fn every_arm_gets_its_share() {
    let trials = times(10_000);
    let ends: Vec<_> = (0..8).map(|_| bounded::<u8>(trials)).collect();
    let mut select = Select::new();
    for end in &ends {
        select.send(&end.0);
    }
    for _ in 0..trials {
        let operation = select.select();
        let at = operation.index();
        operation.send(&ends[at].0, 0).unwrap();
    }
    if !cfg!(miri) {
        ends.iter().for_each(|end| assert!(end.1.len() * 10 > trials));
    }
}

/// A biased select prefers the first, in both forms, also after it has waited.
#[test]
fn biased_select_prefers_the_first_arm() {
    everywhere(|world| {
        let (tx1, rx1) = bounded(100);
        let (tx2, rx2) = bounded(100);
        for n in 0..50 {
            tx1.send(n).unwrap();
            tx2.send(n).unwrap();
        }
        for n in 0..50 {
            select_biased! {
                recv(rx1) -> msg => assert_eq!(msg, Ok(n)),
                recv(rx2) -> _ => unreachable!(),
            }
        }
        let mut select = Select::new_biased();
        select.recv(&rx1);
        let second = select.recv(&rx2);
        let third = select.recv(&rx2);
        assert_eq!(select.try_ready(), Ok(second));
        for _ in 0..50 {
            let operation = select.select();
            assert_eq!(operation.index(), second);
            operation.recv(&rx2).unwrap();
        }
        let sender = world.spawn(move || tx2.send(1).unwrap());
        let operation = select.select();
        assert!([second, third].contains(&operation.index()));
        operation.recv(&rx2).unwrap();
        sender.join();
    });
}

/// SelectDuplicateChannel: the same channel twice in one select leaves its queue sound.
#[test]
fn same_channel_may_stand_in_two_arms() {
    everywhere(|world| {
        let (tx, rx) = bounded(0);
        let (other_tx, other) = bounded::<i32>(0);
        let rx1 = rx.clone();
        let twice = world.spawn(move || {
            select! {
                recv(rx1) -> msg => msg,
                recv(rx1) -> msg => msg,
                recv(other) -> msg => msg,
            }
        });
        let plain = world.spawn(move || rx.recv());
        world.sleep(Duration::from_millis(2));
        other_tx.send(1).unwrap();
        assert_eq!(twice.join(), Ok(1));
        tx.send(2).unwrap();
        assert_eq!(plain.join(), Ok(2));
    });
}

/// closedchan: close against selects that wait.
#[test]
fn close_wakes_selects() {
    everywhere(|world| {
        let (tx, rx) = bounded::<i32>(0);
        let (tx2, rx2) = bounded::<i32>(0);
        let receiver = {
            let (rx, rx2) = (rx.clone(), rx2.clone());
            world.spawn(move || select! { recv(rx) -> msg => msg, recv(rx2) -> _ => unreachable!() })
        };
        world.sleep(Duration::from_millis(2));
        tx.close();
        assert_eq!(receiver.join(), Err(RecvError));
        let sender = world.spawn(move || select! { send(tx2, 1) -> res => res });
        world.sleep(Duration::from_millis(2));
        rx2.close();
        assert_eq!(sender.join(), Err(SendError(1)));
    });
}

/// NonblockSelectRace: with an arm always ready, `default` never fires, close included.
#[test]
fn default_never_fires_when_an_arm_is_ready() {
    everywhere(|world| {
        for round in 0..times(5000) {
            let (tx1, rx1) = bounded(1);
            let (tx2, rx2) = bounded(1);
            tx1.send(1).unwrap();
            let looker = {
                let (rx1, rx2) = (rx1.clone(), rx2.clone());
                world.spawn(move || {
                    select! {
                        recv(rx1) -> _ => true,
                        recv(rx2) -> _ => true,
                        default => false,
                    }
                })
            };
            if round % 2 == 0 {
                tx2.send(1).unwrap();
            } else {
                tx2.close();
            }
            let _ = rx1.try_recv();
            assert!(looker.join());
        }
    });
}

/// Selects on both sides of one rendezvous, with time-outs.
#[test]
fn two_selects_meet() {
    everywhere(|world| {
        let (tx, rx) = bounded(0);
        let (back_tx, back) = bounded(0);
        let total = times(5_000);
        let other = world.spawn(move || {
            let mut sum = 0;
            while sum < total {
                select! {
                    recv(rx) -> msg => sum += msg.unwrap_or(total),
                    send(back_tx, 1) -> res => sum += res.map_or(total, |()| 1),
                    default(Duration::from_micros(50)) => {}
                }
            }
        });
        let mut sum = 0;
        while sum < total {
            select! {
                send(tx, 1) -> res => sum += res.map_or(total, |()| 1),
                recv(back) -> msg => sum += msg.unwrap_or(total),
                default(Duration::from_micros(50)) => {}
            }
        }
        drop((tx, back));
        other.join();
    });
}

/// A selected operation that is not completed panics, and neither hangs its partner nor loses its message.
#[test]
fn dropped_selected_operation_panics_and_loses_no_message() {
    everywhere(|world| {
        let drop_it = |select: &mut Select<'_>| {
            let operation = select.select();
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(operation)));
            assert!(panic.is_err());
        };
        for cap in [0, 1] {
            let (tx, rx) = bounded(cap);
            let other = tx.clone();
            let sender = world.spawn(move || other.send(1).unwrap());
            let mut select = Select::new();
            select.recv(&rx);
            drop_it(&mut select);
            sender.join();
            assert_eq!(rx.recv(), Ok(1));

            let receiver = world.spawn(move || rx.recv());
            let mut select = Select::new();
            select.send(&tx);
            drop_it(&mut select);
            tx.send(2).unwrap();
            assert_eq!(receiver.join(), Ok(2));
        }
        let (tx, rx) = bounded::<i32>(1);
        let (wrong, _rx) = bounded(1);
        let mut select = Select::new();
        select.send(&tx);
        let operation = select.select();
        let send = std::panic::AssertUnwindSafe(|| operation.send(&wrong, 1));
        assert!(std::panic::catch_unwind(send).is_err());
        assert_eq!((tx.is_full(), rx.len()), (false, 0));
    });
}

/// ready and its variants only look.
#[test]
fn ready_reports_and_takes_nothing() {
    everywhere(|world| {
        for cap in [0, 1] {
            let (tx, rx) = bounded::<i32>(cap);
            let (_keep, idle) = bounded::<i32>(cap);
            let mut receives = Select::new();
            receives.recv(&idle);
            let index = receives.recv(&rx);
            assert!(receives.try_ready().is_err());
            assert!(receives.ready_timeout(Duration::from_millis(2)).is_err());
            assert!(receives.ready_deadline(Instant::now()).is_err());
            let other = tx.clone();
            let sender = world.spawn(move || other.send(5).unwrap());
            assert_eq!(receives.ready(), index);
            assert_eq!(rx.recv(), Ok(5));
            sender.join();
            drop(receives);

            if cap == 1 {
                tx.send(0).unwrap();
            }
            let mut sends = Select::new();
            let index = sends.send(&tx);
            assert!(sends.try_ready().is_err());
            let receiver = world.spawn(move || rx.iter().count());
            assert_eq!(sends.ready(), index);
            drop(sends);
            drop(tx);
            receiver.join();
        }
    });
}

/// An empty set: only a look, or time, can end it.
#[test]
fn empty_select_ends_by_default_or_time() {
    let mut select = Select::new();
    assert!(select.try_select().is_err());
    assert!(select.try_ready().is_err());
    assert!(select.select_timeout(Duration::from_millis(1)).is_err());
    assert!(std::panic::catch_unwind(|| drop(Select::new().select())).is_err());
    let (_tx, rx) = bounded::<i32>(0);
    let index = select.recv(&rx);
    select.remove(index);
    assert!(select.try_select().is_err());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| select.remove(index))).is_err());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| select.remove(7))).is_err());
}

/// More arms than are kept without allocating.
#[test]
fn select_with_many_arms_allocates_and_works() {
    everywhere(|world| {
        let ends: Vec<_> = (0..64).map(|_| bounded::<usize>(0)).collect();
        let rxs: Vec<_> = ends.iter().map(|end| end.1.clone()).collect();
        let total = times(500);
        let receiver = world.spawn(move || {
            let mut select = Select::new();
            for rx in &rxs {
                select.recv(rx);
            }
            (0..total)
                .map(|_| {
                    let operation = select.select();
                    let at = operation.index();
                    operation.recv(&rxs[at]).unwrap()
                })
                .sum::<usize>()
        });
        (0..total).for_each(|n| ends[n * 7 % 64].0.send(1).unwrap());
        assert_eq!(receiver.join(), total);
    });
}

#[test]
fn removing_all_operations_takes_time_in_proportion_to_their_number() {
    everywhere(|_| {
        let count = times(200_000);
        let (tx, rx) = bounded(1);
        tx.send(()).unwrap();
        for new in [Select::new, Select::new_biased] {
            let mut select = new();
            for front in [true, false] {
                let mut indices: Vec<_> = (0..count).map(|_| select.recv(&rx)).collect();
                // Changes the order in which a random select looks.
                select.ready();
                if front {
                    indices.reverse();
                }
                while let Some(index) = indices.pop() {
                    select.remove(index);
                }
                assert!(select.try_select().is_err());
            }
        }
    });
}

/// Adds and removes operations at random, and compares what is selected with the list of indices.
#[test]
fn operations_keep_their_indices_while_others_are_removed() {
    let ends: Vec<_> = (0..40).map(|_| bounded(1)).collect();
    for biased in [false, true] {
        let mut select = if biased { Select::new_biased() } else { Select::new() };
        // The index of each operation that is in the set, and the number of its channel.
        let mut left: Vec<(usize, usize)> = Vec::new();
        let mut random = 1_u64;
        let mut below = |bound: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % bound
        };
        for round in 0..times(20_000) {
            // The set grows and shrinks in turns.
            if below(8) < if round / 200 % 2 == 0 { 5 } else { 3 } || left.is_empty() {
                let channel = below(ends.len());
                left.push((select.recv(&ends[channel].1), channel));
            } else {
                let (index, _) = left.remove(below(left.len()));
                select.remove(index);
                let twice = std::panic::AssertUnwindSafe(|| select.remove(index));
                assert!(round % 64 != 0 || std::panic::catch_unwind(twice).is_err());
            }
            if left.is_empty() {
                continue;
            }
            let channel = left[below(left.len())].1;
            ends[channel].0.send(round).unwrap();
            let mut ready = left.iter().filter(|(_, other)| *other == channel).map(|(index, _)| *index);
            let operation = select.select();
            if biased {
                assert_eq!(Some(operation.index()), ready.next());
            } else {
                assert!(ready.any(|index| index == operation.index()));
            }
            assert_eq!(operation.recv(&ends[channel].1), Ok(round));
        }
    }
}

#[test]
fn operations_that_are_left_are_selected_with_equal_probability() {
    let trials = times(20_000);
    let (tx, rx) = bounded(1);
    tx.send(()).unwrap();
    let mut select = Select::new();
    let indices: Vec<_> = (0..40).map(|_| select.recv(&rx)).collect();
    // Less than half, so that they are not swept; all among the first.
    indices[..19].iter().for_each(|&index| select.remove(index));
    let mut counts = [0_i64; 40];
    (0..trials).for_each(|_| counts[select.ready()] += 1);
    // Ten standard deviations of a binomial distribution.
    let share = 1.0 / 21.0;
    let sigma = (trials as f64 * share * (1.0 - share)).sqrt();
    for (index, count) in counts.into_iter().enumerate() {
        let expected = if index < 19 { 0.0 } else { trials as f64 * share };
        assert!((count as f64 - expected).abs() <= if index < 19 { 0.0 } else { 10.0 * sigma }, "{counts:?}");
    }
}

/// AfterTimes and friends: the value is the time of firing, timers fire once, ticks skip what was missed.
#[test]
fn timer_channels_fire_once_and_ticks_skip_missed() {
    everywhere(|world| {
        // Under Miri a line takes long.
        let ms = |n| Duration::from_millis(if cfg!(miri) { 20 * n } else { n });
        let start = Instant::now();
        let timer = after(ms(20));
        assert_eq!((timer.len(), timer.capacity(), timer.is_full()), (0, Some(1), false));
        assert_eq!(timer.try_recv(), Err(TryRecvError::Empty));
        let fired = timer.recv().unwrap();
        assert!(fired >= start + ms(20) && fired <= Instant::now());
        assert!(timer.recv_timeout(ms(2)).is_err());

        let moment = Instant::now() + ms(5);
        let timer = at(moment);
        let both = [timer.clone(), timer.clone()];
        assert!(both[0].same_channel(&both[1]) && !both[0].same_channel(&at(moment)));
        let got =
            both.map(|timer| world.spawn(move || timer.recv_timeout(ms(50)).ok())).map(|part| part.join());
        assert_eq!(got.iter().flatten().collect::<Vec<_>>(), [&moment]);

        let start = Instant::now();
        let ticker = tick(ms(30));
        let first = ticker.recv().unwrap();
        assert!(first >= start + ms(30));
        world.sleep(ms(100));
        assert!(ticker.try_recv().is_ok());
        assert_eq!(ticker.try_recv(), Err(TryRecvError::Empty));
        assert!(ticker.recv().unwrap() >= start + ms(150));

        for forever in [after(Duration::MAX), tick(Duration::MAX), never()] {
            assert!(forever.recv_timeout(ms(1)).is_err());
            assert!(forever.is_empty());
        }
        assert!(after(Duration::ZERO).recv_timeout(Duration::ZERO).is_ok());
        assert!(never::<i32>().same_channel(&never()));

        let (_tx, rx) = bounded::<i32>(0);
        let start = Instant::now();
        select! {
            recv(rx) -> _ => unreachable!(),
            recv(after(ms(10))) -> moment => assert!(moment.unwrap() >= start + ms(10)),
            recv(tick(ms(500))) -> _ => unreachable!(),
            default(Duration::MAX) => unreachable!(),
        }
        let timer = after(ms(1));
        let mut set = Select::new();
        set.recv(&timer);
        assert_eq!(set.ready(), 0);
        set.select().recv(&timer).unwrap();
    });
}

/// A send with a time-out against a select that only sometimes looks: the message is here or there.
#[test]
fn timed_send_races_with_selects() {
    everywhere(|world| {
        let (tx, rx) = bounded(0);
        let (_keep, idle) = bounded::<usize>(0);
        let received = Arc::new(AtomicUsize::new(0));
        let count = received.clone();
        let receiver = world.spawn(move || {
            loop {
                select! {
                    recv(rx) -> msg => match msg {
                        Ok(n) => count.fetch_add(n, Ordering::SeqCst),
                        Err(RecvError) => break,
                    },
                    recv(idle) -> _ => unreachable!(),
                    default(Duration::from_micros(20)) => 0,
                };
            }
        });
        let mut sent = 0;
        for _ in 0..times(2000) {
            match tx.send_timeout(1, Duration::from_micros(20)) {
                Ok(()) => sent += 1,
                Err(SendTimeoutError::Timeout(_)) => {}
                Err(SendTimeoutError::Disconnected(_)) => unreachable!(),
            }
        }
        drop(tx);
        receiver.join();
        until("every message counted", || received.load(Ordering::SeqCst) == sent);
    });
}

/// A select that begins to wait with capacity 0 wakes a thread that waits for readiness, before it parks.
#[test]
fn waiting_select_wakes_a_watcher_of_readiness() {
    everywhere(|world| {
        for _ in 0..times(200) {
            let (tx, rx) = bounded(0);
            let watcher = world.spawn(move || {
                let mut select = Select::new();
                select.recv(&rx);
                select.ready();
                rx.recv()
            });
            select! { send(tx, 1) -> res => res.unwrap() }
            assert_eq!(watcher.join(), Ok(1));

            let (tx, rx) = bounded(0);
            let watcher = world.spawn(move || {
                let mut select = Select::new();
                select.send(&tx);
                select.ready();
                tx.send(2)
            });
            select! { recv(rx) -> msg => assert_eq!(msg, Ok(2)) }
            assert_eq!(watcher.join(), Ok(()));
        }
    });
}

/// As crossbeam's: a set of operations may go to another thread, with endpoints whose messages may not.
#[test]
fn set_of_operations_is_send_and_sync() {
    fn is_send_and_sync<T: Send + Sync>(value: T) -> T {
        value
    }
    let (_tx, rx) = bounded::<std::rc::Rc<()>>(1);
    let mut select = is_send_and_sync(Select::new());
    select.recv(&rx);
    let select = is_send_and_sync(select);
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(select.clone().try_ready().is_err()));
        scope.spawn(|| assert!(select.clone().try_select().is_err()));
    });

    let (tx, rx) = bounded(1);
    let mut select = Select::new();
    select.recv(&rx);
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| select.select().recv(&rx));
        tx.send(1).unwrap();
        assert_eq!(receiver.join().unwrap(), Ok(1));
    });
}
