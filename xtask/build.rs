//! Tells the linker where libtorch is when the program runs.

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if let (Some(_), Ok(libtorch)) = (std::env::var_os("CARGO_FEATURE_TORCH"), std::env::var("LIBTORCH")) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
        let cuda = format!("{libtorch}/lib/libtorch_cuda.so");
        if std::path::Path::new(&cuda).exists() {
            // No symbol of it is used, so the linker would leave it out, and with it every GPU.
            println!("cargo::rustc-link-arg=-Wl,--no-as-needed,{cuda}");
        }
    }
}
