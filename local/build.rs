//! Compiles the guest's own commands, and names this build.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

fn main() -> io::Result<()> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    // A source that changes makes another build, which must not meet an endpoint of the one before.
    let mut sources = Vec::new();
    for part in ["src", "guest-tools", "build.rs", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={part}");
        collect(&package.join(part), &mut sources)?;
    }
    sources.sort();
    let mut hash = Fnv::default();
    hash.add(variable("CARGO_PKG_VERSION").as_bytes());
    for source in &sources {
        hash.add(source.strip_prefix(&package).unwrap_or(source).to_string_lossy().as_bytes());
        hash.add(&fs::read(source)?);
    }
    println!("cargo::rustc-env=EC2_LOCAL_BUILD={:016x}", hash.0);
    compile(&package.join("guest-tools/main.rs"), &PathBuf::from(variable("OUT_DIR")).join("guest-tools"))
}

/// Static where the libc for that is installed: then it runs on whatever root the machine has.
fn compile(source: &Path, program: &Path) -> io::Result<()> {
    let mut failure = String::new();
    for linking in ["-Ctarget-feature=+crt-static", "-Ctarget-feature=-crt-static"] {
        let mut rustc = Command::new(variable("RUSTC"));
        rustc.args(["--edition=2024", "--crate-type=bin", "--crate-name=guest_tools", "-Copt-level=s"]);
        rustc.args(["-Cpanic=abort", "-Cstrip=symbols", linking]).arg("-o").arg(program).arg(source);
        rustc.env("EC2_LOCAL_VERSION", variable("CARGO_PKG_VERSION"));
        if variable("HOST") != variable("TARGET") {
            rustc.arg("--target").arg(variable("TARGET"));
        }
        if let Ok(linker) = env::var("RUSTC_LINKER") {
            rustc.arg(format!("-Clinker={linker}"));
        }
        let output = rustc.output()?;
        if output.status.success() {
            return Ok(());
        }
        failure = String::from_utf8_lossy(&output.stderr).into_owned();
    }
    Err(io::Error::other(format!("failed to compile the guest's commands ({}): {failure}", source.display())))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else {
        files.push(path.to_owned());
    }
    Ok(())
}

/// Cargo sets every variable that is asked for here.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// FNV-1a: the standard library's own hash may change with the compiler.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
