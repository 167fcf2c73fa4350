//! Compiles the guest's own commands, and names this build.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

fn main() -> io::Result<()> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    // A source that changes makes another build, which must not meet an endpoint of the one before; so do the tables.
    let mut sources = Vec::new();
    let tables = ["model/ec2-2016-11-15.json", "model/instance-types.tsv"];
    for part in ["src", "guest-tools", "build.rs", "Cargo.toml"].into_iter().chain(tables) {
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
    compile_if_changed(&package.join("guest-tools"), &PathBuf::from(variable("OUT_DIR")))
}

/// This script runs at each change of the library's sources; the commands seldom change.
fn compile_if_changed(sources: &Path, out: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    collect(sources, &mut files)?;
    files.sort();
    let mut hash = Fnv::default();
    for name in ["CARGO_PKG_VERSION", "RUSTC", "RUSTC_LINKER", "TARGET"] {
        hash.add(variable(name).as_bytes());
    }
    for file in &files {
        hash.add(&fs::read(file)?);
    }
    let (program, stamp) = (out.join("guest-tools"), out.join("guest-tools.hash"));
    let hash = format!("{:016x}", hash.0);
    if program.exists() && fs::read_to_string(&stamp).is_ok_and(|last| last == hash) {
        return Ok(());
    }
    compile(&sources.join("main.rs"), &program)?;
    fs::write(stamp, hash)
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
        if !variable("RUSTC_LINKER").is_empty() {
            rustc.arg(format!("-Clinker={}", variable("RUSTC_LINKER")));
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

/// Cargo sets every variable that is asked for here, but for the linker's if there is none to be named.
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
