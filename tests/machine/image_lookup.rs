//! Images as a test says them: by id, alias, name and owner, parameter; the newest, for the right architecture, and not deprecated.

use super::support::{block_on, ec2, eventually, insist, instances, sdk, unique};
use aws_sdk_ec2::{
    error::ProvideErrorMetadata as _,
    primitives::DateTime,
    types::{ArchitectureValues, BlockDeviceMapping, EbsBlockDevice},
};
use ec2_harness::{
    config::{Config, KeyType},
    ec2::Architecture,
    prelude::*,
};
use std::time::{Duration, SystemTime};

/// One value for many tests.
fn shared() -> ImageQuery {
    ImageQuery::named("ho?t").owner("amazon").user("ec2-user")
}

#[ec2_test(image = shared())]
async fn a_value_is_shared_by_tests(vm: Instance, ec2: Ec2) -> Result {
    let other = ec2.launch(shared()).without_waiting().await?;
    assert_eq!(other.describe().await?.image_id(), vm.describe().await?.image_id());
    assert_eq!(
        (vm.user().as_deref(), ec2.find_image(shared()).await?.id()),
        (Some("ec2-user"), &*image_of(&vm).await?)
    );
    vm.exec("true").await.map(drop)
}

#[ec2_test(image = ImageQuery::named("nothing"), vm(vm, image = shared()))]
async fn a_parameter_has_an_image_of_its_own(vm: Instance) -> Result {
    vm.exec("true").await.map(drop)
}

#[rstest]
#[test_attr(test)]
fn a_fixture_takes_one(
    #[from(ec2_harness::fixtures::instance)]
    #[with(shared())]
    vm: Instance,
) {
    assert_eq!(vm.user().as_deref(), Some("ec2-user"));
}

async fn image_of(vm: &Machine) -> Result<String> {
    Ok(vm.describe().await?.image_id().unwrap().to_owned())
}

#[ec2_test]
async fn by_id_by_alias_and_by_name(ec2: Ec2) -> Result {
    let host = ec2.find_image("host").await?;
    let listed = ec2.images("host").await?;
    assert_eq!(listed[0].image_id(), Some(host.id()));
    assert_eq!(ec2.images(host.id()).await?, listed);
    for query in [host.id().into(), "host".into(), ImageQuery::named("h*t"), ImageQuery::named("host").owner("amazon")]
    {
        let vm = ec2.launch(&query).without_waiting().await?;
        assert_eq!(image_of(&vm).await?, host.id(), "{query}");
    }
    assert!(ec2.images(ImageQuery::named("host").owner("self")).await?.is_empty());
    assert!(ec2.images(shared().architecture(Architecture::Arm64)).await?.is_empty());
    Ok(())
}

#[ec2_test]
async fn by_an_alias_of_ones_own(ec2: Ec2) -> Result {
    let mut config = Config::load()?;
    config.images = [
        ("debian-12", "base".into()),
        ("base", ImageQuery::named("ho*").owner("amazon").user("root")),
        ("blank", "blank".into()),
        ("round", "about".into()),
        ("about", "round".into()),
    ]
    .map(|(alias, query)| (alias.to_owned(), query))
    .into();
    let own = Ec2::connect().config(config).await?;
    let vm = own.launch("debian-12").without_waiting().await?;
    assert_eq!(
        (image_of(&vm).await?, vm.user().as_deref()),
        (ec2.find_image("host").await?.id().to_owned(), Some("root"))
    );
    assert_eq!(
        ec2.launch("debian-12").await.unwrap_err().kind(),
        ErrorKind::NotFound,
        "it is an alias of the other's alone"
    );
    let vm = own.launch(ImageQuery::from("debian-12").user("ec2-user")).without_waiting().await?;
    assert_eq!(vm.user().as_deref(), Some("ec2-user"));
    assert_eq!(own.find_image("blank").await?.id(), ec2.find_image("blank").await?.id());
    let error = own.launch("round").await.unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("base, blank, debian-12"), "{error}");
    Ok(())
}

#[ec2_test]
async fn by_a_parameter_of_systems_managers(ec2: Ec2) -> Result {
    let vm = ec2.launch("resolve:ssm:/aws/service/ec2-local/host").await?;
    assert_eq!(image_of(&vm).await?, ec2.find_image("host").await?.id());
    vm.exec("true").await?;

    let tag = unique("parameter");
    let error = ec2.launch("resolve:ssm:/nobodys-{deb-arch}").tag("purpose", &tag).await.unwrap_err();
    let text = error.to_string();
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, Some("SsmInvalidParameter")), "{text}");
    assert!(text.contains("/nobodys-amd64") && text.contains("aws ssm get-parameter --region us-east-1"), "{text}");
    assert!(leaves_nothing(&ec2, &tag).await);

    let error = ec2.images("resolve:ssm:/aws/service/ec2-local/host").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("at a launch alone"), "{error}");
    Ok(())
}

async fn leaves_nothing(ec2: &Ec2, tag: &str) -> bool {
    let (ec2, tag) = (ec2.clone(), tag.to_owned());
    tokio::task::spawn_blocking(move || instances(&ec2, "tag:purpose", &tag).is_empty()).await.unwrap()
}

/// Images of a snapshot, made and ended by the SDK.
struct Made<'a> {
    ec2: &'a Ec2,
    _source: Image,
    snapshot: String,
    ids: Vec<String>,
}

impl<'a> Made<'a> {
    fn new(ec2: &'a Ec2) -> Self {
        let vm = ec2.launch("blank").without_waiting().wait().unwrap();
        vm.wait_running().wait().unwrap();
        let source = vm.snapshot().running().without_cleaning().wait().unwrap();
        let described = source.describe().wait().unwrap();
        let snapshot = described.block_device_mappings()[0].ebs().unwrap().snapshot_id().unwrap().to_owned();
        Self { ec2, _source: source, snapshot, ids: Vec::new() }
    }

    /// Makes one, and waits until EC2 shows it.
    fn register(&mut self, name: &str, architecture: Architecture) -> String {
        let root = EbsBlockDevice::builder().snapshot_id(&self.snapshot).build();
        let register = sdk(self.ec2)
            .register_image()
            .name(name)
            .architecture(ArchitectureValues::from(architecture.as_str()))
            .root_device_name("/dev/sda1")
            .virtualization_type("hvm")
            .ena_support(true)
            .block_device_mappings(BlockDeviceMapping::builder().device_name("/dev/sda1").ebs(root).build());
        let find = ImageQuery::named(name).owner("self").architecture(architecture);
        insist(|| match block_on(register.clone().send()) {
            // Its first answer was lost, or its snapshot isn't seen yet.
            Err(error) if error.code() != Some("InvalidAMIName.Duplicate") => Err(Box::new(error)),
            _ => Ok(()),
        });
        let mut id = None;
        eventually("the image is shown", || {
            id = self.ec2.images(&find).wait().unwrap().first().and_then(|image| image.image_id.clone());
            id.is_some()
        });
        self.ids.extend(id.clone());
        id.unwrap()
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for id in &self.ids {
            let deregister = sdk(self.ec2).deregister_image().image_id(id);
            insist(|| match block_on(deregister.clone().send()) {
                Err(error) if error.code() == Some("InvalidAMIID.NotFound") => Ok(()),
                other => other.map(drop).map_err(Box::new),
            });
        }
    }
}

/// The ids of the images that fit, once so many are shown at once.
fn listed(ec2: &Ec2, query: &ImageQuery, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    eventually("all are shown", || {
        ids = ec2.images(query).wait().unwrap().into_iter().map(|image| image.image_id.unwrap()).collect();
        ids.len() == count
    });
    ids
}

#[test]
fn the_newest_is_the_first() {
    let (ec2, name) = (ec2(), unique("newest"));
    let mut made = Made::new(&ec2);
    let query = ImageQuery::named(format!("{name}-*")).owner("self");
    // Not by their names; and EC2's dates are of whole seconds.
    let old = made.register(&format!("{name}-z"), Architecture::X86_64);
    std::thread::sleep(Duration::from_millis(1100));
    let new = made.register(&format!("{name}-a"), Architecture::X86_64);
    assert_eq!(listed(&ec2, &query, 2), [new.clone(), old]);
    // What was seen once may not be the next time; and what a query stands for is looked up once.
    eventually("it is found", || ec2.find_image(&query).wait().unwrap().id() == new);
    let mut tries = 0..;
    eventually("it is launched", || {
        let query = query.clone().user(format!("nobody-{}", tries.next().unwrap()));
        let vm = ec2.launch(query).without_waiting().wait().unwrap();
        block_on(image_of(&vm)).unwrap() == new
    });
}

#[test]
fn the_architecture_is_that_of_the_launchs_own_type() {
    let (ec2, name) = (ec2(), unique("architecture"));
    let mut made = Made::new(&ec2);
    let query = ImageQuery::named(format!("{name}-{{rpm-arch}}-*")).owner("self");
    let intel = made.register(&format!("{name}-x86_64-1"), Architecture::X86_64);
    let graviton = made.register(&format!("{name}-aarch64-1"), Architecture::Arm64);
    for (instance_type, expected) in [("t4g.small", &graviton), ("t3.small", &intel)] {
        let vm = ec2.launch(&query).instance_type(instance_type).without_waiting().wait().unwrap();
        assert_eq!(&block_on(image_of(&vm)).unwrap(), expected);
    }
    // An id is of one architecture, whatever is launched.
    let error = ec2.launch(&graviton).instance_type("t3.small").without_waiting().wait().unwrap_err();
    assert!(error.to_string().contains("choose an instance type of arm64, or an image of x86_64"), "{error}");
}

#[test]
fn deprecated_ones_are_taken_only_when_asked() {
    let (ec2, name) = (ec2(), unique("deprecated"));
    let mut made = Made::new(&ec2);
    let id = made.register(&name, Architecture::X86_64);
    let query = ImageQuery::named(&name).owner("self");
    // EC2 rounds to the nearest minute: it may be over at once.
    insist(|| {
        let soon = DateTime::from(SystemTime::now() + Duration::from_secs(2));
        let deprecate = sdk(&ec2).enable_image_deprecation().image_id(&id).deprecate_at(soon);
        block_on(deprecate.send()).map_err(Box::new)
    });
    eventually("it is deprecated", || ec2.images(&query).wait().unwrap().is_empty());
    let says = [format!("1 deprecated ones fit, {name} the newest"), "deprecated()".to_owned()];
    eventually("it is told that one is there", || {
        let error = ec2.launch(&query).without_waiting().wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        says.iter().all(|says| error.to_string().contains(says))
    });
    assert_eq!(listed(&ec2, &query.clone().deprecated(), 1), std::slice::from_ref(&id));
    // Asked for by its id it is meant.
    for query in [query.deprecated(), id.as_str().into()] {
        let vm = ec2.launch(query).without_waiting().wait().unwrap();
        assert_eq!(block_on(image_of(&vm)).unwrap(), id);
    }
}

#[ec2_test]
async fn the_key_is_one_that_the_image_takes(ec2: Ec2) -> Result {
    let fips = || ImageQuery::from("host").key_type(KeyType::Rsa);
    let vm = ec2.launch(fips()).await?;
    let keys = vm.exec("cat ~/.ssh/authorized_keys").await?.stdout;
    assert!(keys.contains("ssh-rsa") && !keys.contains("ssh-ed25519"), "{keys}");
    // An existing machine is logged in to by the same key.
    ec2.instance(vm.id()).await?.exec("true").await?;

    let tag = unique("fips");
    let pair = ec2.create_key_pair(KeyType::Ed25519).await?;
    for launch in [ec2.launch(fips()).key_type(KeyType::Ed25519), ec2.launch(fips()).key_pair(&pair)] {
        let error = launch.tag("purpose", &tag).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{text}");
        assert!(
            ["host takes RSA keys alone", "Ed25519", "leave `key_type` out"].iter().all(|it| text.contains(it)),
            "{text}"
        );
    }
    assert!(leaves_nothing(&ec2, &tag).await);
    Ok(())
}

#[ec2_test]
async fn none_that_fits_is_told_with_what_to_do(ec2: Ec2) -> Result {
    let tag = unique("none");
    for (query, says) in [
        (
            ImageQuery::named("debian-12-{deb-arch}-*").owner("136693071363"),
            ["136693071363", "`debian-12-amd64-*`", "ec2-local image import"],
        ),
        (ImageQuery::named("nothing").owner("self"), ["owner self", "`nothing`", "x86_64"]),
        (
            ImageQuery::from("ami-0123456789abcdef0"),
            ["ami-0123456789abcdef0", "InvalidAMIID.NotFound", "of one region"],
        ),
        (ImageQuery::from("ami-nonsense"), ["ami-nonsense", "InvalidAMIID.Malformed", "ImageQuery::named"]),
    ] {
        for error in [
            ec2.launch(&query).tag("purpose", &tag).await.unwrap_err(),
            ec2.find_image(&query).await.map(drop).unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(says.iter().all(|says| text.contains(says)) && text.contains("us-east-1"), "{text}");
        }
    }
    assert!(leaves_nothing(&ec2, &tag).await);
    Ok(())
}
