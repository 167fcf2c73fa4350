//! Key pairs, and what a user's own client creates.

use super::support::{block_on, ec2, eventually, insist, sdk, unique};
use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use ec2_harness::{config::KeyType, prelude::*};

fn has_key(ec2: &Ec2, name: &str) -> bool {
    let by_name = Filter::builder().name("key-name").values(name).build();
    let describe = sdk(ec2).describe_key_pairs().filters(by_name);
    !insist(|| block_on(describe.clone().send()).map_err(Box::new)).key_pairs().is_empty()
}

#[test]
fn key_pairs_are_made_used_and_deleted() {
    let ec2 = ec2();
    for key_type in [KeyType::Ed25519, KeyType::Rsa] {
        let pair = ec2.create_key_pair(key_type).wait().unwrap();
        let name = pair.name().to_owned();
        eventually("it is listed", || {
            let listed = ec2.key_pairs().wait().unwrap();
            let found = listed.iter().find(|key| key.key_name() == Some(&name));
            found.is_some_and(|key| key.tags().iter().any(|tag| tag.key() == Some("ec2-harness:run")))
        });
        let vm = ec2.launch("host").key_pair(&pair).wait().unwrap();
        assert_eq!(vm.describe().wait().unwrap().key_name(), Some(&*name));
        vm.exec("true").wait().unwrap();
        drop(pair);
        eventually("it is deleted with its guard", || !has_key(&ec2, &name));
        // A machine keeps what it has.
        vm.exec("true").wait().unwrap();
    }
}

#[test]
fn a_name_that_is_taken_is_told_and_nothing_is_lost() {
    let ec2 = ec2();
    let name = unique("imported");
    let public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJK52uCyz1HlI3+1Q/sjhqO6lgrrZ3GrNwgzMmtMQ6rf";
    let pair = ec2.import_key_pair(&name, public).wait().unwrap();
    let error = ec2.import_key_pair(&name, public).wait().unwrap_err();
    let text = error.to_string();
    assert!(error.code() == Some("InvalidKeyPair.Duplicate") && text.contains("choose another name"), "{text}");
    eventually("the first is there", || has_key(&ec2, &name));
    let error = ec2.import_key_pair(unique("bad"), "nonsense").wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    pair.delete().wait().unwrap();
    eventually("it is deleted", || !has_key(&ec2, &name));
    ec2.delete_key_pair(&name).wait().unwrap();
}

#[ec2_test]
async fn the_runs_own_key_may_be_of_rsa(ec2: Ec2) -> Result {
    let vm = ec2.launch("host").key_type(KeyType::Rsa).await?;
    assert!(vm.describe().await?.key_name().unwrap().ends_with("-rsa"));
    vm.exec("grep -q ssh-rsa ~/.ssh/authorized_keys").await.map(drop)
}

#[test]
fn what_a_users_own_client_creates_is_tagged() {
    let ec2 = ec2();
    let theirs = Tag::builder().key("team").value("theirs").build();
    let stolen = Tag::builder().key("ec2-harness:run").value("stolen").build();
    let tags = TagSpecification::builder().resource_type(ResourceType::Volume).tags(theirs).tags(stolen).build();
    let http = aws_smithy_http_client::Builder::new().build_http();
    let client = aws_sdk_ec2::Client::from_conf(ec2.client().config().to_builder().http_client(http).build());
    let create = client.create_volume().availability_zone("us-east-1a").size(1).tag_specifications(tags);
    let created = insist(|| block_on(create.clone().client_token(unique("t")).send()).map_err(Box::new));
    let tag = |key: &str| created.tags().iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value);
    assert_eq!(tag("team"), Some("theirs"));
    assert!(tag("ec2-harness:run").is_some_and(|run| run != "stolen") && tag("ec2-harness:expires-at").is_some());
    let group = client.create_security_group().group_name(unique("own")).description("tagged");
    let group = block_on(group.send()).ok();
    assert!(group.as_ref().is_none_or(|group| !group.tags().is_empty()));
    let delete = sdk(&ec2).delete_volume().volume_id(created.volume_id().unwrap());
    insist(|| match block_on(delete.clone().send()) {
        Err(error) if format!("{error:?}").contains("InvalidVolume.NotFound") => Ok(()),
        other => other.map(drop).map_err(Box::new),
    });
    if let Some(id) = group.and_then(|group| group.group_id) {
        super::support::delete_group(&ec2, &id);
    }
}
