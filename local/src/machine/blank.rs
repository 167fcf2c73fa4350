//! A machine that isn't one: it has power or it hasn't, and nothing runs in it. For tests of the API alone.

use super::{
    BlockDevice, Event, Hypervisor, Machine, Specification,
    kind::{ImageForm, MachineKind},
};
use crate::network::Switch;
use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};
use tokio::sync::mpsc::UnboundedSender;

/// The kind.
pub struct BlankKind;

impl MachineKind for BlankKind {
    fn name(&self) -> &'static str {
        "blank"
    }

    fn runs(&self) -> ImageForm {
        ImageForm::Nothing
    }

    fn has_machine(&self) -> bool {
        false
    }

    fn hypervisor(&self, _: &Switch) -> Box<dyn Hypervisor> {
        Box::new(Blank)
    }
}

/// Starts machines in which nothing runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Blank;

impl Hypervisor for Blank {
    fn start(
        &self,
        specification: Specification,
        events: UnboundedSender<(String, Event)>,
    ) -> io::Result<Box<dyn Machine>> {
        let machine = BlankMachine { instance: specification.machine.instance, events, off: AtomicBool::new(false) };
        machine.tell(Event::Started);
        Ok(Box::new(machine))
    }
}

struct BlankMachine {
    instance: String,
    events: UnboundedSender<(String, Event)>,
    off: AtomicBool,
}

impl BlankMachine {
    fn tell(&self, event: Event) {
        // Nobody listens any more when the endpoint itself is ending.
        let _ = self.events.send((self.instance.clone(), event));
    }
}

impl Machine for BlankMachine {
    fn power_off(&self) {
        if !self.off.swap(true, Ordering::Relaxed) {
            self.tell(Event::PoweredOff);
        }
    }

    fn kill(&self) {
        self.power_off();
    }

    fn attach(&self, _: BlockDevice) {}

    fn detach(&self, volume: &str, _: bool) {
        self.tell(Event::Detached(volume.to_owned()));
    }

    fn resize(&self, _: &str, _: u64) {}
}

impl Drop for BlankMachine {
    fn drop(&mut self) {
        self.power_off();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Description;
    use tokio::sync::mpsc::unbounded_channel;

    #[test]
    fn goes_on_and_off_once() {
        let (sender, mut receiver) = unbounded_channel();
        let machine = Description {
            instance: "i-1".into(),
            hostname: "ip-172-31-0-5".into(),
            login_user: "admin".into(),
            nics: Vec::new(),
            dhcp: None,
            memory_mib: 512,
            vcpus: 2,
            disk_gib: None,
            volumes: Vec::new(),
            boot_id: "1".into(),
        };
        let specification = Specification { machine, disk: "/nonexistent".into(), image: None, layers: Vec::new() };
        let machine = Blank.start(specification, sender).unwrap();
        machine.power_off();
        machine.kill();
        drop(machine);
        let mut told = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            told.push(event);
        }
        assert_eq!(told, [("i-1".to_owned(), Event::Started), ("i-1".to_owned(), Event::PoweredOff)]);
    }
}
