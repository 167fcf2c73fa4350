//! A port of the switch: Ethernet frames in and out of a descriptor.
//!
//! Today every port is a TAP device: one frame a read and one a write, each after a header. A port over a stream (a length
//! before each frame, as QEMU's `-netdev stream` speaks) differs in nothing but this file.

use super::{
    batch::{Batch, HEADER, Header, WHOLE},
    pieces,
    receive_budget::{ReceiveBudget, SharedBudget},
    sizes::GATEWAY,
    v6,
    watched::Watched,
};
use etherparse::EtherType;
use rustix::io::Errno;
use std::{
    collections::VecDeque,
    io::{IoSlice, IoSliceMut},
    time::{Duration, Instant},
};

/// The largest IP packet: EC2's jumbo frames.
pub(super) const MTU: usize = 9001;
/// The Ethernet header, without VLAN tags: a VPC has none.
pub(super) const ETHERNET: usize = 14;
/// How many frames wait for a machine before its flows stop sending, and frames of other machines are lost, as they
/// would be at a full queue of any switch.
const QUEUE: usize = 256;
/// How long those that wait are sent before other machines have their turn.
const TURN: Duration = Duration::from_millis(1);

/// Frames in and out of a descriptor.
pub(super) struct Port {
    device: Watched,
    waiting: VecDeque<(Header, Vec<u8>)>,
    scratch: Box<[u8]>,
    batch: Batch,
    receive_budget: ReceiveBudget,
    /// What the pieces of the last packet of IPv6 that was cut have in common.
    identification: u32,
    /// Frames that were lost because the queue was full.
    lost: u64,
}

/// What a read of a port gave.
pub(super) enum Received {
    /// A frame of so many bytes.
    Frame(usize),
    /// Nothing for now; an event will tell when there is.
    Nothing,
    /// The device is gone.
    Gone,
}

impl Port {
    /// A port over a TAP device (`IFF_NO_PI`, `IFF_VNET_HDR`), which pays into a shared_budget.
    pub(super) fn new(device: Watched, shared_budget: &SharedBudget) -> Self {
        let scratch = vec![0; ETHERNET + MTU].into_boxed_slice();
        Self {
            device,
            waiting: VecDeque::new(),
            scratch,
            batch: Batch::default(),
            receive_budget: ReceiveBudget::new(shared_budget),
            identification: 0,
            lost: 0,
        }
    }

    /// Reads one frame.
    pub(super) fn receive(&mut self, frame: &mut [u8]) -> Received {
        // A machine's frames are whole: no device has been asked for anything else.
        let mut header = WHOLE;
        loop {
            let mut parts = [IoSliceMut::new(&mut header), IoSliceMut::new(frame)];
            return match rustix::io::readv(&self.device, &mut parts) {
                Ok(0) => Received::Gone,
                Ok(length) => Received::Frame(length.saturating_sub(HEADER)),
                Err(Errno::INTR) => continue,
                // The device is down: EIO. It may come up.
                Err(Errno::AGAIN | Errno::IO) => Received::Nothing,
                Err(_) => Received::Gone,
            };
        }
    }

    /// Whether a flow may send another frame.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < QUEUE
    }

    /// Sends a frame, or queues it.
    pub(super) fn send(&mut self, frame: &[u8]) {
        self.finish();
        self.give(WHOLE, frame);
    }

    /// Sends a frame whose packet has come through a gateway, as so many that such a one carries them.
    pub(super) fn send_in_pieces(&mut self, frame: &[u8]) {
        if frame.len() <= ETHERNET + usize::from(GATEWAY) {
            return self.send(frame);
        }
        let (ethernet, packet) = frame.split_at(ETHERNET);
        self.identification = self.identification.wrapping_add(1);
        for piece in pieces::cut(packet, self.identification) {
            self.send(&[ethernet, &piece].concat());
        }
    }

    /// Sends a frame of `length` bytes after its Ethernet header, which `fill` writes, and says whether it may go. It may be
    /// held back until [`Port::finish`], since one that follows can go with it.
    pub(super) fn send_with<R>(
        &mut self,
        header: &[u8; ETHERNET],
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> (R, bool),
    ) -> R {
        let mut scratch = std::mem::take(&mut self.scratch);
        let end = ETHERNET + length;
        if scratch.len() < end {
            scratch = vec![0; end].into_boxed_slice();
        }
        scratch[..ETHERNET].copy_from_slice(header);
        let (result, admitted) = fill(&mut scratch[ETHERNET..end]);
        // The packet says itself which family it is of.
        if v6::is_v6(&scratch[ETHERNET..end]) {
            scratch[ETHERNET - 2..ETHERNET].copy_from_slice(&EtherType::IPV6.0.to_be_bytes());
        }
        let frame = &scratch[..end];
        if admitted && !self.batch.take(frame) {
            self.finish();
            if !self.batch.take(frame) {
                self.give(WHOLE, frame);
            }
        }
        self.scratch = scratch;
        result
    }

    /// Sends what was held back.
    pub(super) fn finish(&mut self) {
        if let Some((header, frame)) = self.batch.finish() {
            self.give(header, &frame);
            self.batch.give_back(frame);
        }
    }

    fn give(&mut self, header: Header, frame: &[u8]) {
        if !self.waiting.is_empty() || self.receive_budget.rests() || !self.write(header, frame) {
            self.queue(header, frame.to_vec());
        }
    }

    /// Sends what waits, as far as the device takes it, and the machine has paid for what it took before.
    pub(super) fn flush(&mut self) {
        if self.waiting.is_empty() || self.receive_budget.rests() {
            return;
        }
        let begun = Instant::now();
        while let Some((header, frame)) = self.waiting.pop_front() {
            if !self.write(header, &frame) {
                self.waiting.push_front((header, frame));
                return;
            }
            if self.receive_budget.rests() {
                return;
            }
            if begun.elapsed() > TURN {
                return self.receive_budget.pause();
            }
        }
    }

    /// When what waits may go on; `None` if that is for the device to tell, or nothing waits.
    pub(super) fn due(&self) -> Option<Instant> {
        self.receive_budget.rests_until().filter(|_| !self.waiting.is_empty())
    }

    fn queue(&mut self, header: Header, frame: Vec<u8>) {
        if self.has_room() {
            self.waiting.push_back((header, frame));
        } else {
            self.lost += 1;
            // Powers of two: a machine that doesn't read must not fill the log.
            if self.lost.is_power_of_two() {
                tracing::warn!(lost = self.lost, "a machine doesn't take its frames; what was sent to it is lost");
            }
        }
    }

    /// Whether the device has taken the frame; also true if it never will.
    fn write(&mut self, header: Header, frame: &[u8]) -> bool {
        let Self { device, receive_budget, .. } = self;
        receive_budget.timed(|| {
            loop {
                return match rustix::io::writev(&*device, &[IoSlice::new(&header), IoSlice::new(frame)]) {
                    Err(Errno::INTR) => continue,
                    Err(Errno::AGAIN) => false,
                    // A device that is down (EIO) loses its frames, as a cable that isn't plugged in does.
                    Ok(_) | Err(_) => true,
                };
            }
        })
    }
}
