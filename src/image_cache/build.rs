//! The making of an image: a machine, the set-up on it, the image, and the machine's end, however it went.

use super::{
    body,
    look::{is_made_elsewhere, name},
    provide::Wanted,
};
use crate::{
    config::Keep,
    connection::tags,
    ec2::{Ec2, Instance, Launch},
    engine,
    error::{Error, ErrorKind},
    progress::Line,
    scope::Scope,
    teardown::owned::{Owned, end_all},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the evidence of a failed set-up may take.
const EVIDENCE_WITHIN: Duration = Duration::from_secs(15);

/// What came of it.
pub(super) enum Built {
    /// The image, whole and everybody's.
    Image(String),
    /// Another host makes it, or has made it.
    Elsewhere,
}

/// Makes the image of this number.
pub(super) async fn build(wanted: &Wanted, number: u32) -> Result<Built, Error> {
    let called = wanted.called();
    wanted.tell(&format!("making {called}"));
    let line = Line::begin(wanted.ec2.config.progress, &called, "being made");
    let scope = Scope::test(format!("snapshot {}", wanted.set_up.name()));
    let limit = wanted.limit();
    let expiring = {
        let scope = scope.clone();
        engine::spawn(async move {
            scope.sleep(limit).await;
            scope.expire(limit);
        })?
    };
    // None of the test's own: the image is everybody's.
    let ec2 = Ec2 { scope: scope.clone(), vpc: None, image: None, ..wanted.ec2.clone() };
    let built = make(wanted, &ec2, number).await;
    expiring.abort();
    let left = end_all(scope.close()).await;
    if let Err(error) = left {
        // The watchdog and any sweep go on with it; the image is none the worse for it.
        wanted.tell(&format!("the machine of {called} may have been left behind: failed to {error}"));
    }
    match &built {
        Ok(Built::Image(image)) => line.end(&format!("is made, {image},")),
        Ok(Built::Elsewhere) => line.end("is made by another host, as was seen"),
        Err(_) => line.end("could not be made"),
    }
    let at = wanted.set_up.at;
    built.map_err(|error| error.while_trying(&format!("make {called}, which {}:{} sets up", at.file(), at.line())))
}

async fn make(wanted: &Wanted, ec2: &Ec2, number: u32) -> Result<Built, Error> {
    let Wanted { set_up, key, instance_types, .. } = wanted;
    let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().to_string();
    let launch = Launch::new(ec2.clone(), Some(set_up.base(ec2))).instance_types(instance_types.clone());
    // A Spot Instance can't be stopped, and may be taken away meanwhile.
    let launch =
        launch.on_demand().name(set_up.name()).own_tag(tags::SNAPSHOT, key.to_string()).own_tag(tags::BEGAN, &began);
    let vm = launch.await?;
    // By now others would see it, and we theirs.
    if is_made_elsewhere(ec2, key, Some((vm.id(), &began))).await? {
        return Ok(Built::Elsewhere);
    }
    let done = body::conduct(set_up.body, vm.machine(), &ec2.scope).await;
    let complaint = ec2.scope.take_complaints().into_iter().next();
    let done = done.and_then(|()| match complaint {
        Some(complaint) => Err(Error::new(ErrorKind::Other, format!("set {} up", vm.machine())).because(complaint)),
        None => Ok(()),
    });
    if let Err(error) = done {
        return Err(with_evidence(error, &vm).await);
    }
    let name = name(set_up, key, number);
    let own = [(tags::SNAPSHOT.to_owned(), key.to_string())];
    let image = match vm.snapshot().name(set_up.name()).known_as(name, &own).await {
        Ok(image) => image,
        // Whoever has that name was faster.
        Err(failure) if failure.code() == Some("InvalidAMIName.Duplicate") => return Ok(Built::Elsewhere),
        Err(failure) => return Err(failure.into()),
    };
    image.hand_over(ec2, set_up.max_age).await.map(Built::Image)
}

/// What the machine of a failed set-up shows, and how to log in to it if it is kept.
async fn with_evidence(error: Error, vm: &Instance) -> Error {
    let machine = vm.machine();
    let evidence = tokio::time::timeout(EVIDENCE_WITHIN, machine.evidence()).await.unwrap_or_default();
    let error = evidence
        .into_iter()
        .fold(error, |error, (title, text)| error.with_evidence(format!("{machine}: {title}"), text));
    if machine.ec2().config().keep == Keep::No {
        return error;
    }
    match Owned::keep(&machine).await {
        Ok(how) => error.with_evidence("its machine", how),
        Err(_) => error,
    }
}
