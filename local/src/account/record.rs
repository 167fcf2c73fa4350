//! Records: what must be written down so that the account can be had again. They are of rows, not of calls: to read them
//! takes no rule of EC2's, and a version with other rules reads what an older one has written.
//!
//! The owner of the account takes [`Account::unstored`] after everything that may have changed it, writes it down, and says so
//! by [`Account::set_stored`]. [`Account::restored`] makes of all that was written, in order, the account as it was.

use super::{Account, Settings, dhcp_options, ids, image, network_acl, place, region::Region, stored::Rows};
use crate::conditions::{Conditions, Fault, FaultError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The rows of one region that have changed, by the names of their tables.
type Tables = BTreeMap<String, Rows>;

/// What has changed of an account since the last record; as JSON, it is to be kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Record {
    general: General,
    /// By the names of the regions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    regions: BTreeMap<String, Tables>,
}

/// What is of no region.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct General {
    /// How much was drawn of the account's source, so that no id is given out again.
    drawn: u64,
    #[serde(default)]
    conditions: Conditions,
    /// The faults that are still to come, each as its line of text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
}

/// Why an account can't be had again from what was stored of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There is no such region or table.
    #[error("there is no `{0}`")]
    Unknown(String),
    /// A row can't be read.
    #[error("{table} of {region}, {key}: {source}")]
    Row {
        /// The region.
        region: String,
        /// The table.
        table: String,
        /// The row's key.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A fault can't be read.
    #[error(transparent)]
    Fault(#[from] FaultError),
    /// What was read doesn't fit together.
    #[error("{0}")]
    NotWhole(String),
}

impl Account {
    fn general(&self) -> General {
        General {
            drawn: self.shared.source.drawn(),
            conditions: self.settings.conditions,
            faults: self.gate.faults().map(ToString::to_string).collect(),
        }
    }

    /// What has changed since [`set_stored`](Self::set_stored) was last called; none if nothing has.
    ///
    /// # Errors
    ///
    /// A row can't be written as JSON.
    pub fn unstored(&mut self) -> Result<Option<Record>, serde_json::Error> {
        let general = self.general();
        let mut regions = BTreeMap::new();
        for (name, region) in &mut self.regions {
            let tables = tables(region, false)?;
            if !tables.is_empty() {
                regions.insert((*name).to_owned(), tables);
            }
        }
        let unchanged = regions.is_empty() && self.stored.as_ref() == Some(&general);
        Ok((!unchanged).then_some(Record { general, regions }))
    }

    /// All there is: what stands in the place of all records so far.
    ///
    /// # Errors
    ///
    /// A row can't be written as JSON.
    pub fn snapshot(&mut self) -> Result<Record, serde_json::Error> {
        let general = self.general();
        let regions = self.regions.iter_mut().map(|(name, region)| Ok(((*name).to_owned(), tables(region, true)?)));
        Ok(Record { general, regions: regions.collect::<Result<_, serde_json::Error>>()? })
    }

    /// What has changed so far is written down.
    pub fn set_stored(&mut self) {
        self.stored = Some(self.general());
        for region in self.regions.values_mut() {
            region.stored().into_iter().for_each(|(_, table)| table.set_stored());
        }
    }

    /// The account as its records have it, in their order. Its settings' images are there as well, and its conditions are the
    /// settings' where these name some. Its machines are as they were: see [`take_over`](Self::take_over).
    ///
    /// # Errors
    ///
    /// The records are not of an account, are incomplete, or of a version that this one doesn't understand.
    pub fn restored(
        settings: Settings,
        conditions: Option<Conditions>,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Self, RecordError> {
        let bare = |place| {
            let region = Region::bare(place, ids::derived(&[place.name]));
            (place.name, region)
        };
        let mut account = Self::of(settings, place::REGIONS.iter().map(bare).collect());
        let mut general = General::default();
        for record in records {
            account.read(record.regions)?;
            general = record.general;
        }
        account.shared.source.resume(general.drawn);
        account.settings.conditions = conditions.unwrap_or(general.conditions);
        for fault in &general.faults {
            account.gate.add(fault.parse::<Fault>()?);
        }
        for region in account.regions.values_mut() {
            image::install(region, &account.settings.images);
            dhcp_options::complete(region);
            network_acl::complete(region);
            region.note(None);
        }
        account.derive();
        account.whole().map_err(RecordError::NotWhole)?;
        Ok(account)
    }

    fn read(&mut self, regions: BTreeMap<String, Tables>) -> Result<(), RecordError> {
        for (name, tables) in regions {
            let Some(region) = self.regions.get_mut(name.as_str()) else { return Err(RecordError::Unknown(name)) };
            let mut stored = region.stored();
            for (table, rows) in tables {
                let Some((_, into)) = stored.iter_mut().find(|(known, _)| *known == table) else {
                    return Err(RecordError::Unknown(table));
                };
                for (key, row) in rows {
                    if let Err(source) = into.restore(&key, row.as_deref()) {
                        return Err(RecordError::Row { region: name, table, key, source });
                    }
                }
            }
        }
        Ok(())
    }
}

fn tables(region: &mut Region, all: bool) -> Result<Tables, serde_json::Error> {
    let changed = region.stored().into_iter().filter(|(_, table)| all || !table.is_stored());
    changed.map(|(name, table)| Ok((name.to_owned(), table.rows(all)?))).collect()
}
