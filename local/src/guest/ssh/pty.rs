//! Pseudo-terminals (RFC 4254, section 6.2 and 8).

use crate::guest::identity::Identity;
use russh::Pty;
use rustix::{
    fs::{Gid, Mode, Uid},
    pty::OpenptFlags,
    termios::{ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Winsize},
};
use std::{io, os::fd::OwnedFd};

/// What a client asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// `TERM`.
    pub term: String,
    /// The size of the window.
    pub size: Size,
    /// The terminal's modes, by their opcodes.
    pub modes: Vec<(Pty, u32)>,
}

/// The size of a window, in characters and in pixels.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Columns.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
    /// Width in pixels; 0 if unknown.
    pub width: u32,
    /// Height in pixels; 0 if unknown.
    pub height: u32,
}

impl From<Size> for Winsize {
    fn from(size: Size) -> Self {
        let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        Self {
            ws_row: short(size.rows),
            ws_col: short(size.columns),
            ws_xpixel: short(size.width),
            ws_ypixel: short(size.height),
        }
    }
}

/// Both ends of a pseudo-terminal.
pub struct Terminal {
    /// The server's end, non-blocking.
    pub master: OwnedFd,
    /// The process's end.
    pub slave: OwnedFd,
    /// The path of the process's end.
    pub path: String,
}

/// Opens a terminal that belongs to the user.
pub fn open(request: &Request, owner: &Identity) -> io::Result<Terminal> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags)?;
    rustix::pty::grantpt(&master)?;
    rustix::pty::unlockpt(&master)?;
    let path = rustix::pty::ptsname(&master, Vec::new())?.into_string().map_err(io::Error::other)?;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    // Group tty is 5 everywhere; where it isn't mapped, the terminal keeps the group of its file system.
    let uid = Some(Uid::from_raw(owner.uid));
    let _ = rustix::fs::fchown(&slave, uid, Some(Gid::from_raw(5))).or_else(|_| rustix::fs::fchown(&slave, uid, None));
    let _ = rustix::fs::fchmod(&slave, Mode::from_raw_mode(0o620));
    rustix::termios::tcsetwinsize(&slave, request.size.into())?;
    set_modes(&slave, &request.modes)?;
    rustix::io::ioctl_fionbio(&master, true)?;
    Ok(Terminal { master, slave, path })
}

fn set_modes(terminal: &OwnedFd, modes: &[(Pty, u32)]) -> io::Result<()> {
    let mut attributes = rustix::termios::tcgetattr(terminal)?;
    for &(mode, value) in modes {
        if let Some(code) = special_code(mode) {
            // 255 stands for "none", which Linux writes as 0.
            attributes.special_codes[code] = u8::try_from(value).ok().filter(|&byte| byte != 255).unwrap_or(0);
        } else if let Some(flag) = input_mode(mode) {
            attributes.input_modes.set(flag, value != 0);
        } else if let Some(flag) = local_mode(mode) {
            attributes.local_modes.set(flag, value != 0);
        } else if let Some(flag) = output_mode(mode) {
            attributes.output_modes.set(flag, value != 0);
        } else {
            set_control_mode(&mut attributes, mode, value);
        }
    }
    Ok(rustix::termios::tcsetattr(terminal, OptionalActions::Now, &attributes)?)
}

fn set_control_mode(attributes: &mut rustix::termios::Termios, mode: Pty, value: u32) {
    let control = &mut attributes.control_modes;
    match mode {
        Pty::CS7 if value != 0 => {
            control.remove(ControlModes::CSIZE);
            control.insert(ControlModes::CS7);
        }
        Pty::CS8 if value != 0 => {
            control.remove(ControlModes::CSIZE);
            control.insert(ControlModes::CS8);
        }
        Pty::PARENB => control.set(ControlModes::PARENB, value != 0),
        Pty::PARODD => control.set(ControlModes::PARODD, value != 0),
        // A speed that the terminal can't have is no reason to refuse it.
        Pty::TTY_OP_ISPEED => drop(attributes.set_input_speed(value)),
        Pty::TTY_OP_OSPEED => drop(attributes.set_output_speed(value)),
        _ => {}
    }
}

fn special_code(mode: Pty) -> Option<SpecialCodeIndex> {
    Some(match mode {
        Pty::VINTR => SpecialCodeIndex::VINTR,
        Pty::VQUIT => SpecialCodeIndex::VQUIT,
        Pty::VERASE => SpecialCodeIndex::VERASE,
        Pty::VKILL => SpecialCodeIndex::VKILL,
        Pty::VEOF => SpecialCodeIndex::VEOF,
        Pty::VEOL => SpecialCodeIndex::VEOL,
        Pty::VEOL2 => SpecialCodeIndex::VEOL2,
        Pty::VSTART => SpecialCodeIndex::VSTART,
        Pty::VSTOP => SpecialCodeIndex::VSTOP,
        Pty::VSUSP => SpecialCodeIndex::VSUSP,
        Pty::VREPRINT => SpecialCodeIndex::VREPRINT,
        Pty::VWERASE => SpecialCodeIndex::VWERASE,
        Pty::VLNEXT => SpecialCodeIndex::VLNEXT,
        Pty::VDISCARD => SpecialCodeIndex::VDISCARD,
        _ => return None,
    })
}

fn input_mode(mode: Pty) -> Option<InputModes> {
    Some(match mode {
        Pty::IGNPAR => InputModes::IGNPAR,
        Pty::PARMRK => InputModes::PARMRK,
        Pty::INPCK => InputModes::INPCK,
        Pty::ISTRIP => InputModes::ISTRIP,
        Pty::INLCR => InputModes::INLCR,
        Pty::IGNCR => InputModes::IGNCR,
        Pty::ICRNL => InputModes::ICRNL,
        Pty::IUCLC => InputModes::IUCLC,
        Pty::IXON => InputModes::IXON,
        Pty::IXANY => InputModes::IXANY,
        Pty::IXOFF => InputModes::IXOFF,
        Pty::IMAXBEL => InputModes::IMAXBEL,
        Pty::IUTF8 => InputModes::IUTF8,
        _ => return None,
    })
}

fn local_mode(mode: Pty) -> Option<LocalModes> {
    Some(match mode {
        Pty::ISIG => LocalModes::ISIG,
        Pty::ICANON => LocalModes::ICANON,
        Pty::XCASE => LocalModes::XCASE,
        Pty::ECHO => LocalModes::ECHO,
        Pty::ECHOE => LocalModes::ECHOE,
        Pty::ECHOK => LocalModes::ECHOK,
        Pty::ECHONL => LocalModes::ECHONL,
        Pty::NOFLSH => LocalModes::NOFLSH,
        Pty::TOSTOP => LocalModes::TOSTOP,
        Pty::IEXTEN => LocalModes::IEXTEN,
        Pty::ECHOCTL => LocalModes::ECHOCTL,
        Pty::ECHOKE => LocalModes::ECHOKE,
        Pty::PENDIN => LocalModes::PENDIN,
        _ => return None,
    })
}

fn output_mode(mode: Pty) -> Option<OutputModes> {
    Some(match mode {
        Pty::OPOST => OutputModes::OPOST,
        Pty::OLCUC => OutputModes::OLCUC,
        Pty::ONLCR => OutputModes::ONLCR,
        Pty::OCRNL => OutputModes::OCRNL,
        Pty::ONOCR => OutputModes::ONOCR,
        Pty::ONLRET => OutputModes::ONLRET,
        _ => return None,
    })
}
