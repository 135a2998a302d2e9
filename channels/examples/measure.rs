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
        let n = 20_000_000u64;
        let ends: Vec<_> = (0..4).map(|_| kahn_channels::bounded::<u64>(128)).collect();
        let t = Instant::now();
        let mut s = 0;
        for i in 0..n {
            if i % 64 == 0 {
                for k in 0..64 {
                    ends[k % 4].0.send(i).unwrap();
                }
            }
            s += kahn_channels::select! {
                recv(ends[0].1) -> m => m.unwrap(),
                recv(ends[1].1) -> m => m.unwrap(),
                recv(ends[2].1) -> m => m.unwrap(),
                recv(ends[3].1) -> m => m.unwrap(),
            };
        }
        println!("kahn send + 4-way select {:.2} ns ({s})", t.elapsed().as_nanos() as f64 / n as f64);
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
    for cap in [0, 1] {
        let n = 200_000u64;
        let (tx, rx) = kahn_channels::bounded::<u64>(cap);
        let t = Instant::now();
        std::thread::spawn(move || (0..n).for_each(|i| tx.send(i).unwrap()));
        let s: u64 = rx.iter().sum();
        println!("kahn spsc({cap}) {:.2} ns ({s})", t.elapsed().as_nanos() as f64 / n as f64);
        let (tx, rx) = crossbeam_channel::bounded::<u64>(cap);
        let t = Instant::now();
        std::thread::spawn(move || (0..n).for_each(|i| tx.send(i).unwrap()));
        let s: u64 = rx.iter().sum();
        println!("crossbeam spsc({cap}) {:.2} ns ({s})", t.elapsed().as_nanos() as f64 / n as f64);
    }
}
