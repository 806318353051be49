//! Generates the messages from the project's `proto/` with a compiler written in Rust, so `protoc`
//! is not needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../../../proto/product_sale.proto");
    let files = protox::compile(["product_sale.proto"], ["../../../proto"])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
