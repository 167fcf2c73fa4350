//! What all Describe actions have in common: ids, filters, pages.

use super::{
    filter::{Definition, Filters},
    ids::Id,
    pagination::Page,
    request::{combination, lower},
    table::Table,
    tags::Tags,
};
use crate::{error::ApiError, wire::Structure};
use std::ops::RangeInclusive;

/// The rules of one Describe action.
pub(super) struct Listing {
    /// The action.
    pub(super) action: &'static str,
    /// The member that lists the ids.
    pub(super) ids: &'static str,
    /// The member of a row that is its id.
    pub(super) id: &'static str,
    /// What MaxResults may be.
    pub(super) sizes: RangeInclusive<i64>,
    /// The filters, besides those for tags.
    pub(super) filters: &'static [Definition],
}

/// One row: what is shown, and what only filters see.
pub(super) struct Row {
    pub(super) shown: Structure,
    pub(super) hidden: Structure,
}

impl From<Structure> for Row {
    fn from(shown: Structure) -> Self {
        Self { shown, hidden: Structure::new() }
    }
}

impl Listing {
    /// The rows of a page, and the token of the next one. Without tags, they can't be asked for by tags either.
    pub(super) fn select<'a, I: Id, R, S: Into<Row>>(
        &self,
        input: &Structure,
        table: &Table<I, R>,
        tags: impl Into<Option<&'a Tags>>,
        wanted: impl Fn(&R) -> bool,
        row: impl Fn(&I, &R) -> S,
    ) -> Result<(Vec<Structure>, Option<String>), ApiError> {
        let ids = table.parse_all(input.strings(self.ids))?;
        let paging = ["MaxResults", "NextToken"].into_iter().find(|member| input.get(member).is_some());
        if let Some(paging) = paging.filter(|_| !ids.is_empty()) {
            return Err(combination(format!(
                "The parameter {} cannot be used with the parameter {}",
                list_name(self.ids),
                lower(paging)
            )));
        }
        let tags = tags.into();
        let filters = Filters::read(input, self.filters, tags.is_some())?;
        let page = Page::read(input, self.action, &self.sizes)?;
        let mut shown = Vec::new();
        let mut last = 0;
        let mut visit = |number: u64, id: &I, resource: &R| {
            if !wanted(resource)
                || !filters.pass_tags(tags.and_then(|tags| tags.get(id)))
                || !filters.pass_id(self.id, id.as_ref())
            {
                return None;
            }
            let row = row(id, resource).into();
            if !filters.pass(&row.shown, &row.hidden) {
                return None;
            }
            if shown.len() == page.size {
                return Some(page.token(last));
            }
            last = number;
            shown.push(row.shown);
            None
        };
        let next = if ids.is_empty() {
            table.after(page.after_number()).find_map(|(number, id, resource)| visit(number, id, resource))
        } else {
            let mut numbers: Vec<u64> = ids.iter().filter_map(|id| table.number(id)).collect();
            numbers.sort_unstable();
            numbers.dedup();
            for number in numbers {
                if let Some((id, resource)) = table.at(number) {
                    visit(number, id, resource);
                }
            }
            None
        };
        Ok((shown, next))
    }

    /// The whole answer, of one list.
    pub(super) fn answer<I: Id, R, S: Into<Row>>(
        &self,
        member: &'static str,
        input: &Structure,
        table: &Table<I, R>,
        tags: &Tags,
        row: impl Fn(&I, &R) -> S,
    ) -> Result<Structure, ApiError> {
        self.answer_where(member, input, table, tags, |_| true, row)
    }

    /// The whole answer, of one list, of those resources only that are wanted.
    pub(super) fn answer_where<'a, I: Id, R, S: Into<Row>>(
        &self,
        member: &'static str,
        input: &Structure,
        table: &Table<I, R>,
        tags: impl Into<Option<&'a Tags>>,
        wanted: impl Fn(&R) -> bool,
        row: impl Fn(&I, &R) -> S,
    ) -> Result<Structure, ApiError> {
        let (rows, next) = self.select(input, table, tags, wanted, row)?;
        Ok(Structure::new().with(member, rows).with_some("NextToken", next))
    }
}

/// `InstanceIds` is `instancesSet` in EC2's messages.
fn list_name(member: &str) -> String {
    let name = lower(member);
    format!("{}sSet", name.strip_suffix("Ids").unwrap_or(&name))
}

/// A page of rows that never change.
pub(super) fn page<T>(
    action: &str,
    member: &'static str,
    input: &Structure,
    filters: &[Definition],
    sizes: RangeInclusive<i64>,
    rows: impl Iterator<Item = T>,
    shown: impl Fn(T) -> Structure,
) -> Result<Structure, ApiError> {
    let filters = Filters::read(input, filters, false)?;
    // So many are shown where nothing is said, too: <https://github.com/boto/boto3/issues/2888>.
    let paged = match input.integer("MaxResults") {
        None => &input.clone().with("MaxResults", *sizes.end()),
        Some(_) => input,
    };
    let page = Page::read(paged, action, &sizes)?;
    let after = page.after_number();
    let numbered = (1..).zip(rows).filter(|(number, _)| *number > after).map(|(number, row)| (number, shown(row)));
    let mut numbered = numbered.filter(|(_, row)| filters.pass(row, &Structure::new()));
    let mut last = after;
    let shown: Vec<Structure> = numbered
        .by_ref()
        .take(page.size)
        .map(|(number, row)| {
            last = number;
            row
        })
        .collect();
    let next = numbered.next().map(|_| page.token(last));
    Ok(Structure::new().with(member, shown).with_some("NextToken", next))
}
