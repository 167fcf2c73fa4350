//! `ec2-local image`: imports root directories, and lists and removes them.

use crate::output::{complain, print};
use clap::{Args, Subcommand};
use ec2_local::{
    account::Account,
    endpoint::{Image, ImageName, Images, Import, LOGIN_USER},
};
use ec2_state_directory::shown;
use std::{
    fmt::Write as _,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
};
use time::{OffsetDateTime, macros::format_description};

#[derive(Subcommand)]
pub enum Command {
    /// Import a root directory from a tar archive, bare or gzip:
    /// ec2-local image import debian.tar.gz --name debian-12
    Import(Archive),
    /// List the imported images
    List,
    /// Remove an image; instances that have it go on
    Remove {
        /// Its name
        name: ImageName,
    },
}

#[derive(Args)]
pub struct Archive {
    /// The archive, made with `tar -C DIRECTORY .`; - for standard input
    file: PathBuf,
    /// What the image is to be called
    #[arg(long)]
    name: ImageName,
    /// The user that logs in; made where the image has none of that name
    #[arg(long, default_value = LOGIN_USER)]
    login_user: String,
    /// How large all its files may be, for example 500M or 50G
    #[arg(long, value_name = "SIZE", default_value = "20G", value_parser = size)]
    max_size: u64,
    /// Take the place of the image of that name; instances keep what they have
    #[arg(long)]
    replace: bool,
}

/// Does it, and says what came of it.
pub fn run(command: Command) -> Result<(), String> {
    let images = Images::of_user().map_err(|e| e.to_string())?;
    match command {
        Command::Import(archive) => import(&images, archive),
        Command::List => list(&images),
        Command::Remove { name } => {
            let users = images.remove(&name).map_err(|e| e.to_string())?;
            let kept = match users.len() {
                0 => String::new(),
                _ => format!("; its files go with the last root volume that has it: {}", users.join(", ")),
            };
            print(&format!("removed {name}{kept}\n"))
        }
    }
}

fn import(images: &Images, archive: Archive) -> Result<(), String> {
    let mut import = Import::new(archive.name);
    import.login_user = archive.login_user;
    import.max_size = archive.max_size;
    import.replace = archive.replace;
    let import_from = |from: BorrowedFd<'_>| images.import(from, &import).map_err(|e| e.to_string());
    let (image, notes) = if archive.file.as_os_str() == "-" {
        import_from(io::stdin().as_fd())?
    } else {
        let path = archive.file.display();
        let file = File::open(&archive.file).map_err(|e| format!("open {path}: {e}"))?;
        import_from(file.as_fd())?
    };
    let (name, region) = (&image.name, region());
    let mut said = format!("imported {name}: {}, {}\n", image.system(), shown_size(image.bytes));
    let id = Account::image_id(&region, name);
    said.push_str(&format!("its id is {id} in {region}; log in as {}\n", image.login_user));
    for note in notes {
        said.push_str(&format!("note: {}\n", shown(&note)));
    }
    print(&said)
}

fn list(images: &Images) -> Result<(), String> {
    let found = images.list().map_err(|e| e.to_string())?;
    if found.is_empty() {
        complain("there are none; import one: ec2-local image import FILE.tar.gz --name NAME");
    }
    let region = region();
    let mut rows = vec![["NAME", &format!("ID ({region})"), "SYSTEM", "SIZE", "IMPORTED", "PATH"].map(str::to_owned)];
    for (path, image) in found {
        match image {
            Ok(image) => rows.push(row(images, &image, &region)),
            Err(error) => complain(&shown(&format!("{} can't be read: {error}", path.display()))),
        }
    }
    print(&table(&rows))
}

fn row(images: &Images, image: &Image, region: &str) -> [String; 6] {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    let imported = OffsetDateTime::from_unix_timestamp(image.imported).ok().and_then(|time| time.format(format).ok());
    [
        image.name.clone(),
        Account::image_id(region, &image.name),
        image.system(),
        shown_size(image.bytes),
        imported.unwrap_or_default(),
        images.root(image).display().to_string(),
    ]
    .map(|cell| shown(&cell))
}

/// Columns as wide as they must be.
fn table(rows: &[[String; 6]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

/// The region that clients are told by the environment, as by `ec2-local env`.
fn region() -> String {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")).unwrap_or_else(|| "us-east-1".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K')) => (&text[..at], 10),
        Some((at, 'M')) => (&text[..at], 20),
        Some((at, 'G')) => (&text[..at], 30),
        Some((at, 'T')) => (&text[..at], 40),
        _ => (text, 0),
    };
    let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    size.ok_or_else(|| "it is no number of bytes, nor one of K, M, G or T (1024 of each other)".to_owned())
}

fn shown_size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes.div_ceil(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}
