use std::time::Instant;
fn main() {
    let t = Instant::now();
    let mut x = 0u64;
    for _ in 0..10_000_000 {
        x = x.wrapping_add(Instant::now().elapsed().subsec_nanos() as u64);
    }
    println!("2 clock reads {:.1} {}", t.elapsed().as_nanos() as f64 / 1e7, x);
    let t = Instant::now();
    for _ in 0..10_000_000 {
        let b = Box::new([0u8; 64]);
        std::hint::black_box(&b);
    }
    println!("malloc {:.1}", t.elapsed().as_nanos() as f64 / 1e7);
    let a = std::sync::atomic::AtomicU64::new(0);
    let t = Instant::now();
    for _ in 0..10_000_000 {
        a.fetch_or(1, std::sync::atomic::Ordering::AcqRel);
    }
    println!("rmw {:.1}", t.elapsed().as_nanos() as f64 / 1e7);
}
