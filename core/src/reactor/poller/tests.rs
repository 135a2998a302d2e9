//! Tests of both pollers.

/// The same tests for the poller in module `$poller`.
macro_rules! tests {
    ($name:ident, $poller:path) => {
        mod $name {
            use std::io::{Read, Write};
            use std::os::fd::AsFd;
            use std::os::unix::net::UnixStream;
            use std::time::Duration;

            use $poller::{Events, Poller};

            use super::super::{EVENTS, Event, Limit};
            use crate::primitives::now;

            fn wait(poller: &Poller, limit: Limit) -> Vec<Event> {
                let mut events = Events::new();
                poller.wait(&mut events, limit);
                events.drain().collect()
            }

            /// Waits for events that are on their way.
            fn wait_for_some(poller: &Poller) -> Vec<Event> {
                loop {
                    let events = wait(poller, Limit::Never);
                    if !events.is_empty() {
                        return events;
                    }
                }
            }

            fn pair() -> (UnixStream, UnixStream) {
                let (one, other) = UnixStream::pair().unwrap();
                one.set_nonblocking(true).unwrap();
                (one, other)
            }

            #[test]
            fn first_event_reports_the_current_state() {
                let poller = Poller::new().unwrap();
                let (one, mut other) = pair();
                other.write_all(b"x").unwrap();
                poller.add(one.as_fd(), 7).unwrap();
                let events = wait_for_some(&poller);
                assert!(events.iter().any(|event| event.key == 7 && event.readable));
                assert!(events.iter().any(|event| event.key == 7 && event.writable));
            }

            #[test]
            fn each_change_is_one_event() {
                let poller = Poller::new().unwrap();
                let (mut one, mut other) = pair();
                poller.add(one.as_fd(), 7).unwrap();
                assert!(wait_for_some(&poller).iter().all(|event| !event.readable));
                for _ in 0..2 {
                    other.write_all(b"x").unwrap();
                    assert!(wait_for_some(&poller).iter().any(|event| event.readable));
                    assert!(wait(&poller, Limit::Now).is_empty());
                }
                one.read_exact(&mut [0; 2]).unwrap();
                assert!(wait(&poller, Limit::Now).iter().all(|event| !event.readable));
            }

            #[test]
            fn deleted_descriptor_has_no_events() {
                let poller = Poller::new().unwrap();
                let (one, mut other) = pair();
                poller.add(one.as_fd(), 7).unwrap();
                wait_for_some(&poller);
                poller.delete(one.as_fd());
                other.write_all(b"x").unwrap();
                assert!(wait(&poller, Limit::Now).is_empty());
            }

            #[test]
            fn descriptor_can_be_added_again_with_another_key() {
                let poller = Poller::new().unwrap();
                let (one, _other) = pair();
                poller.add(one.as_fd(), 7).unwrap();
                wait_for_some(&poller);
                poller.add(one.as_fd(), 8).unwrap();
                assert!(wait_for_some(&poller).iter().all(|event| event.key == 8));
            }

            #[test]
            fn interruption_ends_the_next_wait() {
                let poller = Poller::new().unwrap();
                for _ in 0..3 {
                    poller.interrupt();
                    assert!(wait(&poller, Limit::Never).is_empty());
                }
            }

            #[test]
            fn interruption_ends_the_wait_of_another_thread() {
                let poller = Poller::new().unwrap();
                std::thread::scope(|s| {
                    s.spawn(|| poller.interrupt());
                    assert!(wait(&poller, Limit::Never).is_empty());
                });
            }

            #[test]
            fn wait_lasts_until_its_deadline() {
                let poller = Poller::new().unwrap();
                for micros in [0, 100, 900, 1500, 20_000] {
                    let deadline = now() + Duration::from_micros(micros);
                    assert!(wait(&poller, Limit::Until(deadline)).is_empty());
                    assert!(now() >= deadline);
                }
            }

            #[test]
            fn full_list_is_reported_and_the_rest_comes_later() {
                let poller = Poller::new().unwrap();
                let pairs: Vec<_> = (0..EVENTS + 10).map(|_| pair()).collect();
                for (key, (one, _)) in pairs.iter().enumerate() {
                    poller.add(one.as_fd(), key).unwrap();
                }
                let mut events = Events::new();
                let mut seen = std::collections::BTreeSet::new();
                while seen.len() < pairs.len() {
                    poller.wait(&mut events, Limit::Now);
                    assert!(events.is_full() || !seen.is_empty());
                    seen.extend(events.drain().map(|event| event.key));
                    assert!(events.is_empty());
                }
            }
        }
    };
}

#[cfg(target_os = "linux")]
tests!(epoll, crate::reactor::poller::epoll);
tests!(portable, crate::reactor::poller::portable);

/// Only `epoll` reports this.
#[cfg(target_os = "linux")]
#[test]
fn end_of_the_peer_is_reported() {
    use std::os::fd::AsFd;

    let poller = super::Poller::new().unwrap();
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    other.shutdown(std::net::Shutdown::Write).unwrap();
    poller.add(one.as_fd(), 7).unwrap();
    let mut events = super::Events::new();
    poller.wait(&mut events, super::Limit::Never);
    assert!(events.drain().any(|event| event.ends && event.readable));
}
