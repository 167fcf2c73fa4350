//! DescribeInstanceStatus.

use super::{Instance, State, life::later};
use crate::{
    account::{
        Context,
        describe::{Listing, Row},
        tags::Tags,
    },
    error::{ApiError, Code},
    wire::Structure,
};
use std::time::Duration;

/// How long the checks of AWS take after an instance has come to run.
const CHECKS: Duration = Duration::from_secs(120);

const LISTING: Listing = Listing {
    action: "DescribeInstanceStatus",
    ids: "InstanceIds",
    id: "InstanceId",
    sizes: 5..=1000,
    filters: &[
        ("application-status.status", ""),
        ("attached-ebs-status.status", "AttachedEbsStatus.Status"),
        ("availability-zone", "AvailabilityZone"),
        ("availability-zone-id", "AvailabilityZoneId"),
        ("event.code", ""),
        ("event.description", ""),
        ("event.instance-event-id", ""),
        ("event.not-after", ""),
        ("event.not-before", ""),
        ("event.not-before-deadline", ""),
        ("instance-state-code", "InstanceState.Code"),
        ("instance-state-name", "InstanceState.Name"),
        ("instance-status.reachability", "InstanceStatus.Details.Status"),
        ("instance-status.status", "InstanceStatus.Status"),
        ("operator.managed", ""),
        ("operator.principal", ""),
        ("system-status.reachability", "SystemStatus.Details.Status"),
        ("system-status.status", "SystemStatus.Status"),
    ],
};

/// How many instances a request may name.
const MOST: usize = 100;

/// Only running instances, unless all are asked for.
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceStatus.html>.
pub(in crate::account) fn describe(context: &mut Context<'_>, input: &Structure) -> Result<Structure, ApiError> {
    let named = input.list("InstanceIds").len();
    if named > MOST {
        let message = format!(
            "{named} exceeds the maximum number of instance IDs that can be specified ({MOST}). Please specify fewer than \
             {MOST} instance IDs."
        );
        return Err(ApiError::new(Code::InvalidRequest, message));
    }
    let all = input.boolean("IncludeAllInstances") == Some(true);
    let region = &*context.region;
    let show = |id: &_, instance: &Instance| {
        let (status, detail) = checks(context, instance);
        let summary = Structure::new().with("Status", status).with(
            "Details",
            detail.map_or_else(Vec::new, |detail| {
                vec![Structure::new().with("Name", "reachability").with("Status", detail)]
            }),
        );
        Row::from(
            Structure::new()
                .with("InstanceId", id)
                .with("AvailabilityZone", instance.zone.name())
                .with("AvailabilityZoneId", instance.zone.id())
                .with("InstanceState", instance.state.shown())
                .with("SystemStatus", summary.clone())
                .with("AttachedEbsStatus", summary.clone())
                .with("InstanceStatus", summary),
        )
    };
    let wanted = |instance: &Instance| all || instance.state == State::Running;
    LISTING.answer_where("InstanceStatuses", input, &region.instances, None::<&Tags>, wanted, show)
}

fn checks(context: &Context<'_>, instance: &Instance) -> (&'static str, Option<&'static str>) {
    match instance.running_since {
        None => ("not-applicable", None),
        Some(since) if context.now < later(since, context.settings.paced(CHECKS)) => {
            ("initializing", Some("initializing"))
        }
        Some(_) => ("ok", Some("passed")),
    }
}
