//! No code: the libraries of the containerd shim ask for features of libraries that everything
//! else uses, too. Cargo builds a library once for each set of features, so the shim would build
//! wasmtime and what is around it a second time. This crate, built by default, asks for the same.
