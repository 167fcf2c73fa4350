//! What EC2 shows of an image: those that there are, whole or not, and who is making one.

use super::{SetUp, key::Key};
use crate::{
    connection::{
        api_error,
        patience::{LOOK_PAUSE, LOOK_PAUSE_MAX, pauses, until_answered},
        tags,
    },
    ec2::Ec2,
    error::{Error, ErrorKind},
    resource::{Found, INSTANCE},
    run,
};
use aws_sdk_ec2::types::{Filter, Image, ImageState};
use std::time::{Duration, Instant, SystemTime};

/// What EC2 shows of a key.
#[derive(Debug)]
pub(super) struct Seen {
    images: Vec<Image>,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is there.
    Usable(Image, SystemTime),
    /// It is being taken, or nobody has said that it is whole: its set-up has succeeded.
    Unfinished(Image),
    /// There is none, and the next one has this number.
    Missing(u32),
}

impl Seen {
    /// Looks at all images of a key but the one that is gone.
    pub(super) async fn look(ec2: &Ec2, key: &Key, gone: Option<&str>) -> Result<Self, Error> {
        let by_key = Filter::builder().name(format!("tag:{}", tags::SNAPSHOT)).values(key.to_string()).build();
        let mut images = find(ec2, by_key).await?;
        images.retain(|image| image.image_id() != gone && image.state() != Some(&ImageState::Deregistered));
        Ok(Self { images })
    }

    pub(super) fn verdict(&self, max_age: Duration) -> Verdict {
        let is_young = |made: SystemTime| made.elapsed().unwrap_or_default() < max_age;
        let whole = self.images.iter().filter(|image| image.state() == Some(&ImageState::Available));
        let usable = whole.clone().filter_map(|image| Some((image, made(image)?))).filter(|(_, made)| is_young(*made));
        if let Some((image, made)) = usable.max_by_key(|(_, made)| *made) {
            return Verdict::Usable(image.clone(), made);
        }
        let is_unfinished = |image: &&Image| {
            matches!(image.state(), Some(ImageState::Pending | ImageState::Available)) && made(image).is_none()
        };
        match self.images.iter().filter(is_unfinished).max_by_key(|image| number(image)) {
            Some(image) => Verdict::Unfinished(image.clone()),
            None => Verdict::Missing(self.images.iter().map(number).max().unwrap_or_default() + 1),
        }
    }

    /// Those that one of this number has taken the place of.
    pub(super) fn replaced_by(&self, next: u32) -> Vec<String> {
        let replaced = self.images.iter().filter(|image| made(image).is_some() && number(image) < next);
        replaced.filter_map(|image| image.image_id.clone()).collect()
    }
}

/// The name of an image in EC2: nobody else has it, whoever makes the same.
pub(super) fn name(set_up: &SetUp, key: &Key, number: u32) -> String {
    // A name has 128 characters at most.
    let called: String = set_up.name().chars().filter(char::is_ascii).take(80).collect();
    format!("ec2-harness {called} {key} {number}")
}

/// The number that its name ends with.
fn number(image: &Image) -> u32 {
    let last = image.name().and_then(|name| name.rsplit(' ').next());
    last.and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Since when it is whole; `None` if it isn't known to be.
fn made(image: &Image) -> Option<SystemTime> {
    tags::time(image.tags(), tags::COMPLETE)
}

/// When its lease ends.
pub(super) fn expires(image: &Image) -> Option<SystemTime> {
    tags::time(image.tags(), tags::EXPIRES_AT)
}

/// An image by its id, if EC2 shows it within a time.
pub(super) async fn by_id(ec2: &Ec2, id: &str, within: Duration) -> Result<Option<Image>, Error> {
    let (since, mut pauses) = (Instant::now(), pauses(LOOK_PAUSE, LOOK_PAUSE_MAX));
    let by_id = Filter::builder().name("image-id").values(id).build();
    loop {
        let found = find(ec2, by_id.clone()).await?.into_iter().next();
        let found = found.filter(|image| image.state() != Some(&ImageState::Deregistered));
        if found.is_some() || since.elapsed() > within {
            return Ok(found);
        }
        pauses.next().await;
    }
}

/// The account's own images that fit a filter.
async fn find(ec2: &Ec2, filter: Filter) -> Result<Vec<Image>, Error> {
    let call = ec2.connection.client.describe_images().owners("self").include_deprecated(true).filters(filter);
    until_answered(&ec2.connection, || async {
        let pages: Result<Vec<_>, _> = call.clone().into_paginator().items().send().collect().await;
        pages.map_err(|e| api_error::failed("DescribeImages", "find the image of a snapshot", e))
    })
    .await
}

/// Whether somebody on another host makes it just now, who has begun before one of ours did.
pub(super) async fn is_made_elsewhere(ec2: &Ec2, key: &Key, ours: Option<(&str, &str)>) -> Result<bool, Error> {
    let connection = &ec2.connection;
    let by_key = Filter::builder().name(format!("tag:{}", tags::SNAPSHOT)).values(key.to_string()).build();
    let found = until_answered(connection, || (INSTANCE.find)(connection, vec![by_key.clone()])).await?;
    let began = |found: &Found| found.tag(tags::BEGAN).and_then(|began| began.parse::<u128>().ok());
    for other in found.iter().filter(|found| !found.has_ended) {
        let is_first =
            ours.is_none_or(|(id, ours)| other.id != id && (began(other), other.id.as_str()) < (ours.parse().ok(), id));
        let is_alive = tags::time(&other.tags, tags::ALIVE_UNTIL).is_some_and(|until| until > SystemTime::now());
        // Whoever makes one here holds the note's lock, and that is we: it has died.
        if is_first && is_alive && !is_of_this_host(other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether something belongs to a run of this user on this host.
fn is_of_this_host(found: &Found) -> Result<bool, Error> {
    let run = found.tag(tags::RUN).unwrap_or_default();
    let here = run::directory_of(run)?.and_then(|directory| run::incarnation_of(&directory));
    Ok(here.is_some() && here.as_deref() == found.tag(tags::INCARNATION))
}

/// The error of who has waited for others for too long.
pub(super) fn waited_too_long(set_up: &SetUp, limit: Duration) -> Error {
    Error::new(ErrorKind::TimedOut, format!("use the snapshot {}", set_up.name()))
        .because(format!("another host is making it, and has not been ready for {}", humantime::format_duration(limit)))
        .advise("look there; or end its machine, and another one is made")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::Tag;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn image(number: u32, state: ImageState, age: Option<Duration>) -> Image {
        let at = |age| humantime::format_rfc3339_seconds(SystemTime::now() - age).to_string();
        let tags = age.map(|age| vec![Tag::builder().key(tags::COMPLETE).value(at(age)).build()]);
        let name = format!("ec2-harness with_it 0123456789abcdef {number}");
        Image::builder().image_id(format!("ami-{number}")).name(name).state(state).set_tags(tags).build()
    }

    fn verdict(images: Vec<Image>) -> String {
        match (Seen { images }).verdict(HOUR) {
            Verdict::Usable(image, _) => format!("usable {}", image.image_id().unwrap()),
            Verdict::Unfinished(image) => format!("unfinished {}", image.image_id().unwrap()),
            Verdict::Missing(number) => format!("missing {number}"),
        }
    }

    #[test]
    fn the_youngest_whole_image_is_used_and_an_old_one_is_replaced() {
        use ImageState::{Available, Failed, Pending};
        let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
        assert_eq!(verdict(vec![]), "missing 1");
        assert_eq!(verdict(vec![image(1, Available, minutes(59)), image(2, Available, minutes(5))]), "usable ami-2");
        assert_eq!(verdict(vec![image(1, Available, minutes(59)), image(2, Pending, None)]), "usable ami-1");
        assert_eq!(verdict(vec![image(1, Available, minutes(61)), image(2, Pending, None)]), "unfinished ami-2");
        assert_eq!(verdict(vec![image(1, Available, minutes(61))]), "missing 2");
        assert_eq!(verdict(vec![image(3, Failed, None)]), "missing 4");
        let seen = Seen { images: vec![image(1, Available, minutes(61)), image(2, Pending, None)] };
        assert_eq!(seen.replaced_by(2), ["ami-1"]);
    }
}
