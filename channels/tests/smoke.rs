//! The first thing to look at when everything fails.

mod support;

use kahn_channels::bounded;
use support::{World, everywhere, times};

#[test]
fn four_to_four_at_every_small_capacity() {
    fn scenario(world: &World) {
        for cap in [0, 1, 2, 7, 100] {
            let each = times(1000);
            let (tx, rx) = bounded::<Box<usize>>(cap);
            let senders: Vec<_> = (0..4)
                .map(|_| {
                    let tx = tx.clone();
                    world.spawn(move || (0..each).for_each(|n| tx.send(Box::new(n)).unwrap()))
                })
                .collect();
            drop(tx);
            let receivers: Vec<_> = (0..4)
                .map(|_| {
                    let rx = rx.clone();
                    world.spawn(move || rx.iter().fold((0, 0), |(sum, count), n| (sum + *n, count + 1)))
                })
                .collect();
            senders.into_iter().for_each(|sender| sender.join());
            let (sum, count) = receivers
                .into_iter()
                .map(|receiver| receiver.join())
                .fold((0, 0), |a: (usize, usize), b| (a.0 + b.0, a.1 + b.1));
            assert_eq!((sum, count), (4 * each * (each - 1) / 2, 4 * each), "capacity {cap}");
        }
    }
    everywhere(scenario);
}
