//! Green-thread locals that the handler of a `serve` sets are not visible to other green threads, although they use
//! the same stack in turn.

use std::cell::Cell;

use kahn::channel::bounded;

kahn::thread::local! {
    static MARK: Cell<u32> = Cell::new(0);
}

#[test]
fn locals_of_a_handler_are_not_seen_by_other_threads() {
    let runtime = kahn::Runtime::builder().workers(1).build().unwrap();
    runtime.run(|| {
        let (tx, rx) = bounded(1);
        let (handled, is_handled) = bounded(1);
        let server = kahn::serve(rx, move |()| {
            MARK.set(7);
            handled.send(()).unwrap();
        });
        for _ in 0..100 {
            tx.send(()).unwrap();
            is_handled.recv().unwrap();
            // Until the server idles, and its fiber is free for the next.
            kahn::yield_now();
            let seen: Vec<_> = (0..4).map(|_| kahn::spawn(|| MARK.get())).collect();
            assert!(seen.into_iter().all(|other| other.join().unwrap() == 0));
        }
        drop(tx);
        server.join().unwrap();
    });
}
