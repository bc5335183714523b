//! Tells the linker where libtorch is when this crate's tests run.

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if let (Some(_), Ok(libtorch)) = (std::env::var_os("CARGO_FEATURE_LIBTORCH"), std::env::var("LIBTORCH")) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}
