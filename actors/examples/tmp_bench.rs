use kahn_actors::*;
use std::time::Instant;
struct C(u64);
enum M {
    Add(u64),
    Get(Reply<u64>),
}
impl Actor for C {
    type Message = M;
    fn handle(&mut self, m: M, _: &mut Context<Self>) -> Result<(), ExitReason> {
        match m {
            M::Add(n) => self.0 += n,
            M::Get(r) => {
                let _ = r.send(self.0);
            }
        }
        Ok(())
    }
}
fn rss() -> usize {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    let g = |k: &str| {
        s.lines()
            .find(|l| l.starts_with(k))
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    (g("VmRSS") + g("VmPTE")) * 1024
}
fn main() {
    let which = std::env::args().nth(1).unwrap_or("all".into());
    kahn_core::Runtime::builder().workers(2).build().unwrap().run(|| {
        for _ in 0..5 {
            if which == "all" || which == "tell" {
                let c = spawn(C(0));
                let t = Instant::now();
                for _ in 0..2_000_000 {
                    c.tell(M::Add(1)).unwrap();
                }
                assert_eq!(c.ask(M::Get).unwrap(), 2_000_000);
                println!("tell {:.1}", t.elapsed().as_nanos() as f64 / 2e6);
            }
            if which == "all" || which == "tell8" {
                let c = spawn(C(0));
                let t = Instant::now();
                let hs: Vec<_> = (0..8)
                    .map(|_| {
                        let c = c.clone();
                        kahn_core::spawn(move || {
                            for _ in 0..250_000 {
                                c.tell(M::Add(1)).unwrap();
                            }
                        })
                    })
                    .collect();
                for h in hs {
                    h.join().unwrap();
                }
                assert_eq!(c.ask(M::Get).unwrap(), 2_000_000);
                println!("tell8 {:.1}", t.elapsed().as_nanos() as f64 / 2e6);
            }
            if which == "all" || which == "ask" {
                let c = spawn(C(0));
                let t = Instant::now();
                for _ in 0..500_000 {
                    c.ask(M::Get).unwrap();
                }
                println!("ask {:.1}", t.elapsed().as_nanos() as f64 / 5e5);
            }
        }
        if which == "all" || which == "idle" {
            let b = rss();
            let t = Instant::now();
            let v: Vec<_> = (0..1_000_000).map(|_| spawn(C(7))).collect();
            for c in &v {
                assert_eq!(c.ask(M::Get).unwrap(), 7);
            }
            println!("idle {} bytes, {:?}", (rss() - b) / 1_000_000, t.elapsed());
        }
    });
}
