//! What the journals of this host's runs name: it may be on its way, or be there and not be seen yet, whatever its tags say.

use super::{
    Sweep, Which, is_cached, is_kept,
    look::{Look, Spared},
};
use crate::{
    connection::{Connection, patience::VISIBLE_WITHIN, tags},
    error::Error,
    resource::{Found, KINDS, Token},
    run,
    target::Target,
    teardown::journal::{Entry, Journal},
};
use aws_sdk_ec2::types::Filter;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How long something may be on its way to a local EC2 and invisible there, at least, however fast all goes there.
const LOCAL_MIN: Duration = Duration::from_secs(5);

/// A filter takes up to 200 values.
const VALUES_PER_FILTER: usize = 200;

/// What journaled calls have made, in whatever state, as far as it is seen.
pub(crate) async fn find_made(connection: &Connection, entries: &[&Entry]) -> Result<Vec<Found>, Error> {
    let mut made = Vec::new();
    for kind in KINDS {
        let filter = match kind.token {
            Token::Client(filter) => filter.to_owned(),
            Token::Attempt => format!("tag:{}", tags::ATTEMPT),
        };
        let tokens: Vec<_> =
            entries.iter().filter(|entry| entry.kind() == *kind).map(|entry| entry.token().to_owned()).collect();
        for tokens in tokens.chunks(VALUES_PER_FILTER) {
            let filter = Filter::builder().name(&filter).set_values(Some(tokens.to_vec())).build();
            made.extend((kind.find)(connection, vec![filter]).await?);
        }
    }
    Ok(made)
}

impl Sweep {
    /// Adds what the journals name and EC2 shows; settles what has ended, or can't come any more.
    pub(super) async fn add_journaled(&self, look: &mut Look, spared: &Spared) -> Result<(), Error> {
        let entries = self.entries(spared)?;
        let made = find_made(&self.connection, &entries.iter().collect::<Vec<_>>()).await?;
        let within = self.visible_within();
        for entry in &entries {
            let of_it = |found: &&Found| found.kind == entry.kind() && found.token() == Some(entry.token());
            let (mut seen, mut open) = (0, 0);
            for found in made.iter().filter(of_it) {
                seen += 1;
                if !(found.has_ended || is_cached(found)? || (is_kept(found)? && self.spares_kept())) {
                    open += 1;
                    look.take(found.clone());
                }
            }
            match open {
                0 if seen >= entry.count() || entry.age() > within => entry.settle(),
                _ => look.more_may_come |= seen < entry.count() && entry.age() <= within,
            }
        }
        look.journaled = entries;
        // What a watchdog is about to end isn't ours to settle, and isn't gone yet either.
        let is_at_it = |directory: &PathBuf| {
            run::is_being_ended(directory) && !Journal::of_run(directory, &self.connection).entries().is_empty()
        };
        look.more_may_come |= self.which == Which::Over && run::directories()?.iter().any(is_at_it);
        Ok(())
    }

    /// The entries of the runs that this sweep takes.
    fn entries(&self, spared: &Spared) -> Result<Vec<Entry>, Error> {
        let of = |directory: &Path| Journal::of_run(directory, &self.connection).entries();
        let unspared = |directory: &Path| {
            let id = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            of(directory).into_iter().filter(|entry| !spared.spares(id, entry.kind().life)).collect::<Vec<_>>()
        };
        Ok(match &self.which {
            Which::Run { id, spare_kept } => match run::directory_of(id)? {
                Some(directory) if *spare_kept => unspared(&directory),
                Some(directory) => of(&directory),
                None => Vec::new(),
            },
            // While nobody can join it: what a process makes that belongs to it later isn't among them.
            Which::Over => run::over()?.iter().flat_map(|(directory, _over)| unspared(directory)).collect(),
            Which::Mine => run::directories()?.iter().flat_map(|directory| of(directory)).collect(),
            Which::Journaled(tokens) => {
                let mut entries = Journal::of(&self.connection).entries();
                entries.retain(|entry| tokens.contains(entry.token()));
                entries
            }
            Which::One(_) => Vec::new(),
        })
    }

    /// Whether what is kept stays, as long as its lease hasn't ended.
    fn spares_kept(&self) -> bool {
        !matches!(self.which, Which::Run { spare_kept: false, .. } | Which::Mine)
    }

    /// After which time what was sent is there for all to see, or was never made.
    pub(super) fn visible_within(&self) -> Duration {
        match self.connection.target {
            Target::Local => VISIBLE_WITHIN.mul_f64(self.connection.pace()).max(LOCAL_MIN),
            Target::Aws | Target::Endpoint(_) => VISIBLE_WITHIN,
        }
    }
}
