//! What one thread, and two, pay for a message, beside crossbeam-channel.

use std::time::Instant;
fn main() {
    for _ in 0..3 {
        let (tx, rx) = kahn_channels::bounded::<u64>(128);
        let n = 20_000_000u64;
        let t = Instant::now();
        let mut s = 0;
        for i in 0..n {
            tx.send(i).unwrap();
            s += rx.recv().unwrap();
        }
        println!("kahn send+recv {:.2} ns ({s})", t.elapsed().as_nanos() as f64 / n as f64);
        let (tx, rx) = crossbeam_channel::bounded::<u64>(128);
        let t = Instant::now();
        let mut s = 0;
        for i in 0..n {
            tx.send(i).unwrap();
            s += rx.recv().unwrap();
        }
        println!("crossbeam send+recv {:.2} ns ({s})", t.elapsed().as_nanos() as f64 / n as f64);
    }
    for _ in 0..3 {
        let n = 2_000_000u64;
        let (tx, rx) = kahn_channels::bounded::<u64>(128);
        let t = Instant::now();
        std::thread::spawn(move || (0..n).for_each(|i| tx.send(i).unwrap()));
        let s: u64 = rx.iter().sum();
        println!("kahn spsc {:.2} ns ({s})", t.elapsed().as_nanos() as f64 / n as f64);
        let (tx, rx) = crossbeam_channel::bounded::<u64>(128);
        let t = Instant::now();
        std::thread::spawn(move || (0..n).for_each(|i| tx.send(i).unwrap()));
        let s: u64 = rx.iter().sum();
        println!("crossbeam spsc {:.2} ns ({s})", t.elapsed().as_nanos() as f64 / n as f64);
    }
}
