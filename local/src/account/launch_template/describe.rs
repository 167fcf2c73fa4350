//! DescribeLaunchTemplates, DescribeLaunchTemplateVersions.

use super::{DEFAULT, LATEST, LaunchTemplate, find, read_number, shown, shown_version};
use crate::{
    account::{
        Context,
        describe::Listing,
        filter::{Definition, Filters},
        ids::LaunchTemplateId,
        pagination::Page,
        request::{combination, invalid},
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::collections::BTreeSet;

const LISTING: Listing = Listing {
    action: "DescribeLaunchTemplates",
    ids: "LaunchTemplateIds",
    id: "LaunchTemplateId",
    sizes: 1..=200,
    filters: &[("create-time", "CreateTime"), ("launch-template-name", "LaunchTemplateName")],
};

/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplates.html>.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let region = &*context.region;
    let names: Vec<&str> = input.strings("LaunchTemplateNames").collect();
    let is_there = |name: &str| region.template_named(name).is_some_and(|id| region.launch_templates.sees(id));
    if names.iter().any(|name| !is_there(name)) {
        let message = "At least one of the launch templates specified in the request does not exist.";
        return Err(ApiError::new(Code::InvalidLaunchTemplateNameNotFound, message));
    }
    let wanted = |template: &LaunchTemplate| names.is_empty() || names.contains(&template.name.as_str());
    LISTING.answer_where("LaunchTemplates", input, &region.launch_templates, &region.tags, wanted, |id, template| {
        shown(context, id, template)
    })
}

const VERSION_FILTERS: &[Definition] = &[
    ("create-time", "CreateTime"),
    ("ebs-optimized", "LaunchTemplateData.EbsOptimized"),
    ("host-resource-group-arn", "LaunchTemplateData.Placement.HostResourceGroupArn"),
    ("http-endpoint", "LaunchTemplateData.MetadataOptions.HttpEndpoint"),
    ("http-protocol-ipv4", "LaunchTemplateData.MetadataOptions.HttpEndpoint"),
    ("http-tokens", "LaunchTemplateData.MetadataOptions.HttpTokens"),
    ("iam-instance-profile", "LaunchTemplateData.IamInstanceProfile.Arn"),
    ("image-id", "LaunchTemplateData.ImageId"),
    ("instance-type", "LaunchTemplateData.InstanceType"),
    ("is-default-version", "DefaultVersion"),
    ("kernel-id", "LaunchTemplateData.KernelId"),
    ("license-configuration-arn", "LaunchTemplateData.LicenseSpecifications.LicenseConfigurationArn"),
    ("network-card-index", "LaunchTemplateData.NetworkInterfaces.NetworkCardIndex"),
    ("ram-disk-id", "LaunchTemplateData.RamDiskId"),
];

/// Which versions of a template a request wants.
struct Wanted {
    latest: bool,
    default: bool,
    numbers: BTreeSet<i64>,
    least: i64,
    most: i64,
}

impl Wanted {
    fn read(context: &Context<'_>, input: &Structure, of: Option<&LaunchTemplateId>) -> Result<Self, ApiError> {
        let names: Vec<&str> = input.strings("Versions").collect();
        let bound = |member: &'static str| input.string(member).map(|text| read_number(member, text)).transpose();
        let (least, most) = (bound("MinVersion")?, bound("MaxVersion")?);
        if !names.is_empty() && (least.is_some() || most.is_some()) {
            return Err(combination("The parameter versions cannot be used with minVersion or maxVersion"));
        }
        let is_word = |name: &&str| matches!(*name, LATEST | DEFAULT);
        let Some(id) = of else {
            const HOW: &str = "To describe the launch template data for all your launch templates, specify $Latest, $Default, \
                               or both as versions, and no numbers. To describe a specific launch template, specify its ID or \
                               name.";
            return match (names.iter().all(is_word), names.is_empty() || least.is_some() || most.is_some()) {
                (_, true) => Err(ApiError::new(Code::MissingParameter, HOW)),
                (false, _) => Err(invalid(HOW)),
                (true, false) => Ok(Self::of(&names, BTreeSet::new())),
            };
        };
        let template = context.region.launch_templates.require(id)?;
        if names.is_empty() {
            let all = Self::of(&[], template.versions.keys().copied().collect());
            return Ok(Self { least: least.unwrap_or(1), most: most.unwrap_or(i64::MAX), ..all });
        }
        let numbers = names.iter().filter(|name| !is_word(name)).map(|name| template.number(id, name));
        Ok(Self::of(&names, numbers.collect::<Result<_, _>>()?))
    }

    fn of(names: &[&str], numbers: BTreeSet<i64>) -> Self {
        Self { latest: names.contains(&LATEST), default: names.contains(&DEFAULT), numbers, least: 1, most: i64::MAX }
    }

    fn contains(&self, template: &LaunchTemplate, number: i64) -> bool {
        self.numbers.contains(&number) && (self.least..=self.most).contains(&number)
            || self.latest && number == template.latest()
            || self.default && number == template.default_version
    }
}

/// The latest version comes first.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeLaunchTemplateVersions.html>.
pub(in crate::account) fn describe_versions(
    context: &mut Context<'_>,
    input: &Structure,
) -> Result<Structure, ApiError> {
    let filters = Filters::read(input, VERSION_FILTERS, false)?;
    let page = Page::read(input, "DescribeLaunchTemplateVersions", &(1..=200))?;
    let one = find(context.region, input)?;
    let wanted = Wanted::read(context, input, one.as_ref())?;
    // The row of the template, and the version of it, that came last.
    let after = page.after().and_then(|last| last.split_once(' '));
    let after: Option<(u64, i64)> = after.and_then(|(row, number)| Some((row.parse().ok()?, number.parse().ok()?)));
    let first = after.map_or(0, |(row, _)| row.saturating_sub(1));
    let templates = context.region.launch_templates.after(first);
    let mut shown = Vec::new();
    let (mut next, mut last) = (None, String::new());
    'rows: for (row, id, template) in templates.filter(|(_, id, _)| one.as_ref().is_none_or(|one| one == *id)) {
        for (number, version) in template.versions.iter().rev().map(|(number, version)| (*number, version)) {
            if after.is_some_and(|(last, before)| row == last && number >= before) || !wanted.contains(template, number)
            {
                continue;
            }
            let version = shown_version(context, id, template, (number, version));
            if !filters.pass(&version, &Structure::new()) {
                continue;
            }
            if shown.len() == page.size {
                next = Some(page.token(&last));
                break 'rows;
            }
            last = format!("{row} {number}");
            shown.push(version);
        }
    }
    let answer = Structure::new().with("LaunchTemplateVersions", shown);
    Ok(answer.with_some("NextToken", next))
}
