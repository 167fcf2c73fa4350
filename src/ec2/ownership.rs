//! A machine as something that we have made: what it shows when its test has failed, how it is kept, what its end gives back.

use super::{Machine, lease, machine::lock, made::Made, ready, volume::forget_order};
use crate::{
    error::Error,
    resource::{Ending, SpotRequest},
    ssh::Command,
    target::Target,
    teardown::owned::{Identity, Owned},
};
use futures_util::future::BoxFuture;
use std::{sync::Arc, time::Duration};

/// How long the evidence of one machine may take.
const EVIDENCE_WITHIN: Duration = Duration::from_secs(10);
/// How much of its console is shown.
const CONSOLE_LINES: usize = 40;

impl Owned for Machine {
    fn identity(&self) -> &Identity {
        &self.0.identity
    }

    fn name(&self) -> &str {
        self.name()
    }

    fn was_seen(&self) -> bool {
        self.last_described().is_some()
    }

    fn ending(&self) -> Ending {
        Ending { spot_request: self.spot_request(), ..Ending::new(self.id(), self.was_seen()) }
    }

    fn let_go(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.disconnect())
    }

    fn release(&self) {
        lock(&self.0.reservation).take();
        forget_order(self.id());
        for part in lock(&self.0.parts).drain(..) {
            part.ended_with(self.id(), self);
        }
        let held = std::mem::take(&mut *lock(&self.0.held));
        drop(held);
    }

    fn evidence(&self) -> BoxFuture<'_, Vec<(&'static str, String)>> {
        Box::pin(async {
            let console = async {
                match ready::console(self).await {
                    Ok(text) if text.trim().is_empty() => "(EC2 shows nothing yet)".to_owned(),
                    Ok(text) => ready::tail(&text, CONSOLE_LINES),
                    Err(error) => format!("failed to {error}"),
                }
            };
            let units = async {
                // Only where SSH has answered before: a machine that is down would cost the whole limit.
                let session = self.0.session.lock().await.clone()?;
                let list = "[ -d /run/systemd/system ] && systemctl list-units --failed --no-legend --plain";
                Some(session.exec(Command::new(list).timeout(EVIDENCE_WITHIN)).await.ok()?.stdout)
            };
            // Each by itself: a dead SSH doesn't cost the console.
            let (console, units) = tokio::join!(
                tokio::time::timeout(EVIDENCE_WITHIN, console),
                tokio::time::timeout(EVIDENCE_WITHIN, units)
            );
            vec![
                ("failed units", units.ok().flatten().unwrap_or_default()),
                ("the console's last lines", console.unwrap_or_else(|_| "(EC2 didn't answer in time)".to_owned())),
            ]
        })
    }

    fn remark(&self) -> Option<(&'static str, String)> {
        lock(&self.0.degraded).clone().map(|said| ("its boot is degraded", said))
    }

    fn log_in(&self, test: &str) -> Option<String> {
        (self.scope().test_name() == Some(test)).then(|| format!("{self}: {}", self.ssh_command()))
    }

    fn keep(&self) -> BoxFuture<'_, Result<String, Error>> {
        Box::pin(self.keep_running())
    }
}

impl Machine {
    /// Its Spot request, if it has one: by the launch's answer, or by what EC2 has shown since.
    fn spot_request(&self) -> Option<SpotRequest> {
        let described = || self.last_described().and_then(|described| described.spot_instance_request_id.clone());
        let id = self.0.spot_request.clone().or_else(described).filter(|_| self.0.identity.is_ours())?;
        Some(SpotRequest { id, age: self.0.begun.elapsed() })
    }

    /// Leaves the machine running: it is forgotten here, and its lease begins anew. Says how to reach it.
    async fn keep_running(&self) -> Result<String, Error> {
        let (ec2, id, lease) = (&self.0.ec2, self.id().to_owned(), self.0.ec2.config.lease);
        let reservation = lock(&self.0.reservation).take();
        let until = lease::keep(ec2, &self.0.identity, self, move || {
            reservation.map_or(Ok(()), |reservation| reservation.keep(&id, lease))
        })
        .await?;
        let (id, log_in) = (self.id(), self.ssh_command());
        let mut said =
            format!("{self} is kept until {until}\n  log in: {log_in}\n  end it: ec2-harness sweep --instance {id}");
        for address in self.keep_addresses().await? {
            said.push_str(&format!("\n  {address}: ec2-harness sweep --instance {}", address.id()));
        }
        Ok(said)
    }

    /// Keeps the public addresses of its interfaces, too: it would be another machine without them.
    async fn keep_addresses(&self) -> Result<Vec<Arc<Made>>, Error> {
        let addresses = std::mem::take(&mut *lock(&self.0.addresses));
        let is_here = |(interface, address): &(Arc<Made>, Arc<Made>)| {
            interface.is_part_of(self.id()) && !address.identity.is_forgotten()
        };
        let mut kept = Vec::new();
        for (_, address) in addresses.into_iter().filter(is_here) {
            address.keep().await?;
            lock(&self.0.kept).push(address.clone());
            kept.push(address);
        }
        Ok(kept)
    }

    /// It, and what was kept with it, all of which is to end.
    pub(super) fn with_what_was_kept(self) -> Vec<Arc<dyn Owned>> {
        let kept = std::mem::take(&mut *lock(&self.0.kept));
        let kept = kept.into_iter().map(|address| Arc::new(address) as Arc<dyn Owned>);
        std::iter::once(Arc::new(self) as Arc<dyn Owned>).chain(kept).collect()
    }

    /// By which a person logs in to it.
    fn ssh_command(&self) -> String {
        let key = self.0.key_path.as_ref().map(|path| format!(" -i {}", path.display())).unwrap_or_default();
        let (id, user) = (self.id(), self.user().unwrap_or_else(|| "USER".into()));
        let (tunnel, host) = match (&self.0.ec2.connection.target, self.public_ip().or(self.private_ip())) {
            (Target::Local, _) | (_, None) => (" -o ProxyCommand='ec2-harness connect %h %p'", id.to_owned()),
            (_, Some(address)) => ("", address.to_string()),
        };
        format!("ssh{key}{tunnel} {user}@{host}")
    }
}
