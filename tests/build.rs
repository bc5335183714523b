//! Tells the linker where to find libtorch at run time.

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if let (Some(_), Ok(libtorch)) = (std::env::var_os("CARGO_FEATURE_TORCH"), std::env::var("LIBTORCH")) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}
