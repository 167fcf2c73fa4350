//! What instances cost: one price for each type, zone and product, for ever.
//!
//! AWS's prices are its own and change; these follow from a type's processors and memory, near those of Virginia in 2026, and from
//! where it is, so that clients that compare prices have something to compare.

use crate::{
    account::{
        Context, describe,
        filter::Definition,
        instance_type::{self, InstanceType},
        place::Zone,
        request::{combination, given, invalid},
    },
    error::ApiError,
    wire::{Structure, Value},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use time::{Date, Duration, OffsetDateTime};

/// A price of an hour, in millionths of a dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Price(u64);

/// As EC2 shows it.
impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl Price {
    /// Reads a member that is a price. Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SpotMarketOptions.html>.
    pub(super) fn read(input: &Structure, member: &str) -> Result<Option<Self>, ApiError> {
        let Some(text) = given(input, member) else { return Ok(None) };
        let is_decimal = text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let dollars = text.parse::<f64>().ok().filter(|_| is_decimal && text.starts_with(|c: char| c.is_ascii_digit()));
        match dollars {
            // It is at most a million dollars, and no fraction of a millionth counts.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Some(dollars @ 0.001..=1_000_000.0) => Ok(Some(Self((dollars * 1e6).round() as u64))),
            _ => Err(invalid(format!(
                "Value ({text}) for parameter {member} is invalid. \"{text}\" is an invalid spot instance price"
            ))),
        }
    }

    /// Without the zeros at its end, as messages have it.
    pub(super) fn short(self) -> String {
        let text = self.to_string();
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// The products that EC2 has prices of, as far as they are told here.
pub(super) const LINUX: &str = "Linux/UNIX";
const WINDOWS: &str = "Windows";
const PRODUCTS: [&str; 2] = [LINUX, WINDOWS];
/// Those that may be asked for beside them.
const OTHERS: [&str; 2] = ["Red Hat Enterprise Linux", "SUSE Linux"];

/// On demand. A burstable type costs by its memory, the others by their processors and their memory; ARM's and AMD's less.
pub(super) fn on_demand(instance_type: &InstanceType, product: &str) -> Price {
    let (vcpus, mib) = (instance_type.vcpus(), instance_type.memory_mib());
    let family = instance_type.name.split('.').next().unwrap_or_default();
    let plain = match family {
        "t2" => 11_600 * mib / 1024,
        _ if instance_type.burstable => 10_400 * mib / 1024,
        _ => 32_000 * vcpus + 4_000 * mib / 1024,
    };
    let percent = match instance_type.architecture {
        "arm64" => 80,
        _ if family.trim_start_matches(|c: char| c.is_ascii_lowercase()).contains('a') => 90,
        _ => 100,
    };
    let license = if product == WINDOWS { 46_000 * vcpus } else { 0 };
    Price(plain * percent / 100 + license)
}

/// The price of a Spot Instance: three to five tenths of that on demand.
pub(super) fn spot(instance_type: &InstanceType, zone: Zone, product: &str) -> Price {
    let drawn = drawn(instance_type, zone, product);
    // Whole hundredths of a cent, as EC2's are.
    let price = on_demand(instance_type, product).0 * (300 + drawn % 200) / 1000;
    Price((price / 100 * 100).max(1_100))
}

/// A number that follows from what has the price.
fn drawn(instance_type: &InstanceType, zone: Zone, product: &str) -> u64 {
    let hash = Sha256::digest(format!("{} {} {product}", instance_type.name, zone.name()));
    u64::from_be_bytes(std::array::from_fn(|i| hash[i]))
}

const FILTERS: &[Definition] = &[
    ("availability-zone", "AvailabilityZone"),
    ("availability-zone-id", "AvailabilityZoneId"),
    ("instance-type", "InstanceType"),
    ("product-description", "ProductDescription"),
    ("spot-price", "SpotPrice"),
    ("timestamp", "Timestamp"),
];

/// How far back prices are told.
const KNOWN: Duration = Duration::days(90);
/// How many are told at once where nothing is said.
const SIZE: i64 = 1000;

/// Prices are told at the beginning of each month, and they stay. The last ones before the time that is asked for are told, too.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html>.
pub(in crate::account) fn describe_history(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let types = types(input)?;
    let zones = zones(context, input)?;
    let products = products(input)?;
    let changes = changes(context.now, input)?;
    let rows = changes.iter().flat_map(|time| {
        let (types, zones, products) = (&types, &zones, &products);
        types.iter().flat_map(move |of_type| {
            zones.iter().flat_map(move |zone| products.iter().map(move |product| (*time, *of_type, *zone, *product)))
        })
    });
    let shown = |(time, of_type, zone, product): (OffsetDateTime, &'static InstanceType, Zone, &str)| {
        Structure::new()
            .with("AvailabilityZone", zone.name())
            .with("AvailabilityZoneId", zone.id())
            .with("InstanceType", of_type.name)
            .with("ProductDescription", product)
            .with("SpotPrice", spot(of_type, zone, product).to_string())
            .with("Timestamp", time)
    };
    let answer = describe::page("DescribeSpotPriceHistory", "SpotPriceHistory", input, FILTERS, 1..=SIZE, rows, shown)?;
    // EC2 says that there is no next page by a token that is empty.
    let next = answer.string("NextToken").unwrap_or_default().to_owned();
    Ok(answer.with("NextToken", next))
}

fn types(input: &Structure) -> Result<Vec<&'static InstanceType>, ApiError> {
    let wanted: Vec<&str> = input.strings("InstanceTypes").collect();
    let named = if wanted.is_empty() { instance_type::names().collect() } else { wanted };
    let types = named.into_iter().map(instance_type::named).collect::<Result<Vec<_>, _>>()?;
    Ok(types.into_iter().filter(|of_type| of_type.has_spot()).collect())
}

/// The products that are asked for; to EC2 a VPC makes no difference any more.
fn products(input: &Structure) -> Result<Vec<&'static str>, ApiError> {
    let plain = |name: &str| name.strip_suffix(" (Amazon VPC)").unwrap_or(name).to_owned();
    let wanted: Vec<String> = input.strings("ProductDescriptions").map(plain).collect();
    let known = |name: &str| PRODUCTS.into_iter().chain(OTHERS).any(|known| known == name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        return Err(invalid(format!("Value ({unknown}) for parameter productDescription is invalid.")));
    }
    let is_wanted = |product: &&str| wanted.is_empty() || wanted.iter().any(|name| name == product);
    Ok(PRODUCTS.into_iter().filter(is_wanted).collect())
}

fn zones(context: &Context<'_>, input: &Structure) -> Result<Vec<Zone>, ApiError> {
    let (name, id) = (input.string("AvailabilityZone"), input.string("AvailabilityZoneId"));
    if name.is_some() && id.is_some() {
        return Err(combination("The parameters availabilityZone and availabilityZoneId cannot be used together"));
    }
    let is_wanted = |zone: &Zone| name.is_none_or(|name| zone.name() == name) && id.is_none_or(|id| zone.id() == id);
    let zones: Vec<Zone> = context.region.place.zones().filter(is_wanted).collect();
    match name.or(id) {
        Some(unknown) if zones.is_empty() => Err(invalid(format!("Invalid availability zone: [{unknown}]"))),
        _ => Ok(zones),
    }
}

/// When prices were told in the time that is asked for, and last before it; the latest first.
fn changes(now: OffsetDateTime, input: &Structure) -> Result<Vec<OffsetDateTime>, ApiError> {
    let time = |member| match input.get(member) {
        Some(Value::Timestamp(time)) => Some(*time),
        _ => None,
    };
    let earliest = now.checked_sub(KNOWN).unwrap_or(now);
    let (start, end) = (time("StartTime").unwrap_or(earliest).max(earliest), time("EndTime").unwrap_or(now).min(now));
    if time("StartTime").zip(time("EndTime")).is_some_and(|(start, end)| start > end) {
        return Err(invalid("The start time must not be later than the end time"));
    }
    let mut changes = Vec::new();
    let mut month = first_of_month(end.to_offset(time::UtcOffset::UTC));
    while let Some(at) = month {
        changes.push(at);
        if at <= start {
            break;
        }
        month = at.checked_sub(Duration::days(1)).and_then(first_of_month);
    }
    Ok(changes)
}

fn first_of_month(time: OffsetDateTime) -> Option<OffsetDateTime> {
    Date::from_calendar_date(time.year(), time.month(), 1).ok().map(|date| date.midnight().assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_near_those_of_aws() {
        let cost = |name| on_demand(instance_type::named(name).unwrap(), LINUX).short();
        assert_eq!(cost("t3.micro"), "0.0104");
        assert_eq!(cost("t2.medium"), "0.0464");
        assert_eq!(cost("m5.large"), "0.096");
        assert_eq!(cost("m6g.large"), "0.0768");
        assert_eq!(cost("m5a.large"), "0.0864");
        let zone = Zone::named("us-east-1a").unwrap();
        for name in instance_type::names() {
            let of_type = instance_type::named(name).unwrap();
            let (spot, full) = (spot(of_type, zone, LINUX), on_demand(of_type, LINUX));
            assert!(spot < full && spot >= Price(1_100), "{name}: {spot} of {full}");
        }
    }

    #[test]
    fn a_price_is_read_as_it_is_written() {
        let read =
            |text: &str| Price::read(&Structure::new().with("P", text), "P").map(|price| price.unwrap().to_string());
        assert_eq!(read("0.05").unwrap(), "0.050000");
        assert_eq!(read("1").unwrap(), "1.000000");
        assert!(Price::read(&Structure::new().with("P", ""), "P").unwrap().is_none());
        for wrong in ["0", "0.0001", "-1", "1e3", ".5", "inf", "NaN", "1000000000", "0x1", " 1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
