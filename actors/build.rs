//! Sets `cfg(fibers)` where a green thread is a fiber: in every build but those for model checkers and interpreters.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    cfg_aliases::cfg_aliases! {
        fibers: { not(any(kahn_loom, kahn_threads, miri)) },
        models: { kahn_loom },
    }
}
