//! Contains no code. The libraries of the containerd shim enable features of libraries that the
//! other programs use, too. Cargo builds a library once for each set of features, so the shim would
//! build wasmtime and its dependencies a second time. This crate is built by default and enables
//! the same features.
