//! A stack of 256 KiB: the host clears a component's memory after each call, of which the usual 1 MiB would be most.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").is_ok_and(|family| family == "wasm") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size=262144");
    }
}
