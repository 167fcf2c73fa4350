//! Test on real EC2 machines, or on a local EC2 of this project's own, as easily as `cargo test`.
//!
//! ```no_run
//! use ec2_harness::prelude::*;
//!
//! #[ec2_test]
//! async fn boots(vm: Instance) -> Result {
//!     let kernel = vm.exec("uname -r").await?;
//!     assert!(!kernel.stdout.is_empty());
//!     vm.assert((port(22).is_listening(), file("/etc/os-release").contains("ID="))).await
//! }
//! ```
//!
//! Before the body runs, the machine is launched, answers on SSH and has been configured; after it, however the test
//! ended, the machine ends. Without any configuration it is one of the local EC2: a Linux machine of namespaces over the
//! host's own programs, that is ready in a fraction of a second and needs no AWS account, no Docker and no root.
//!
//! What a file of tests needs is in the [`prelude`].
//!
//! # Targets
//!
//! Where the calls go is the [`Target`](target::Target): the local EC2 unless `target` in `ec2-harness.toml` (or
//! `EC2_HARNESS_TARGET`) is `"aws"` or an endpoint's URL. There is no second code path for the local one: what is tested
//! there is what runs on AWS. [`Config`](config::Config) has every key, with its default.
//!
//! - **Local.** Started on demand, from the running executable, and shared by all processes of this user that were built
//!   with the same version. It outlives a killed test, as AWS does, and goes ten seconds after its last instance and
//!   client. No credential chain is built, and `AWS_*` is ignored. The image is `host`; another system's alias is NotFound,
//!   never a quiet substitute.
//! - **AWS.** Opt-in twice: the target, and the number of the one account that may be touched, which is checked before
//!   the first create. Caps limit instances and vCPUs across processes; everything bears tags and a lease.
//!
//! # Sync and async
//!
//! Everything that takes time is a lazy builder that owns what it needs. `.await` it on any runtime, `.wait()` for it on
//! any thread, or `.start()` it to get the running [`Task`]; until then nothing happens.
//!
//! ```no_run
//! # use ec2_harness::prelude::*;
//! # async fn example(vm: Machine) -> Result {
//! vm.exec("systemctl daemon-reload").sudo().await?; // in async code
//! vm.exec("id").wait()?; // in sync code
//! let slow = vm.exec("sleep 10 && date").start(); // runs
//! vm.push("target/release/agent", "/usr/local/bin/agent").sudo().mode(0o755).await?;
//! println!("{}", slow.await?.stdout);
//! # Ok(())
//! # }
//! ```
//!
//! `join!`, `select!` and `timeout` take the builders; `tokio::spawn` wants `.start()`. Dropping a task cancels it: a
//! command is ended on its machine, with all of its processes. Only a create that was sent is never abandoned: it runs to
//! its end, and what it made is ended. An async body runs on a Tokio runtime of its own, on its test's thread.
//!
//! # Machines and guards
//!
//! A [`Machine`](ec2::Machine) is a cheap handle that has all operations. An [`Instance`](ec2::Instance) is the guard of a
//! machine that we launched; it derefs to `Machine`, is not `Clone`, and the machine ends with it:
//!
//! - of a test's parameters, or launched by its [`Ec2`](ec2::Ec2), it is parked when it is dropped: first the test's outcome
//!   and the evidence are taken (console, failed units), then it ends, together with the others;
//! - elsewhere, for example in a `main`, the drop ends it, and waits until EC2 has accepted that; in a Tokio runtime it holds
//!   up no other task, and the process waits for it at its end.
//!
//! ```no_run
//! # use ec2_harness::prelude::*;
//! # async fn example(ec2: Ec2) -> Result {
//! let vm = ec2
//!     .launch("debian-12")
//!     .instance_type("t3.small")
//!     .user_data("#cloud-config\npackages: [nginx]\n")
//!     .root_size(gib(20))
//!     .volumes([gp3(100).encrypted()])
//!     .run_instances(|request| request.ebs_optimized(true)) // the SDK's own request
//!     .await?;
//! vm.terminate().await?; // the explicit way, which can fail
//!
//! let theirs = ec2.instance("i-0123456789abcdef0").await?; // never ended by us
//! theirs.reboot().await?;
//! # Ok(())
//! # }
//! ```
//!
//! What a client of your own, [`Ec2::client`](ec2::Ec2::client), creates has no guard, but bears the run's tags, and ends with the run.
//!
//! [`keep`](ec2::Instance::keep) leaves a machine running for the length of its lease; so does `keep = "failed"` in the
//! configuration. Both print how to log in.
//!
//! **If nobody gets to drop anything**: SIGINT, SIGTERM and SIGHUP end what lives, and then the process. After a `kill -9`
//! the run's watchdog, a process in a session of its own, ends what is left half a minute later, also while other processes of the run
//! go on. After the death of the whole
//! host, `ec2-harness sweep` does, the command of the package `ec2-harness-cli`, or [`Ec2::sweep`](ec2::Ec2::sweep): by
//! tags, from anywhere.
//!
//! # Volumes and network interfaces
//!
//! `#[ec2_test(volumes = [gp3(20)])]` and [`volumes`](ec2::Launch::volumes) launch machines with volumes beside the root,
//! and [`volume(0)`](ec2::Machine::volume) is the first of them, found in the machine by its
//! id whatever its device is called there; it is formatted only where nothing is on it.
//!
//! ```no_run
//! # use ec2_harness::prelude::*;
//! #[ec2_test(volumes = [gp3(20)])]
//! async fn data_survives(vm: Instance) -> Result {
//!     vm.volume(0).format("ext4").mount("/data").await?;
//!     vm.assert((vm.volume(0).size(gib(20)).fs_type("ext4"), mount("/data"))).await
//! }
//! ```
//!
//! What is added to a running machine ends with it. A volume is the next free device, an interface has the next free index within what
//! the machine's type takes; both are made in its zone.
//!
//! ```no_run
//! # use ec2_harness::prelude::*;
//! # async fn example(vm: Machine, other: Machine, ec2: Ec2) -> Result {
//! let volume = vm.add_volume(gp3(8)).await?;
//! volume.detach().await?; // from here on it ends with the test
//! volume.attach(&other).await?;
//! let interface = vm.add_network_interface(NewNetworkInterface::new().addresses(2).configured()).await?;
//! println!("{:?}", interface.private_ips());
//!
//! let shared = ec2.create_volume(gp3(1), "eu-central-1a").await?; // a guard of its own
//! shared.attach(&vm).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Images
//!
//! An image is an AMI's id, an alias (`debian-12`, `ubuntu-24.04-daily`, those of the configuration), `resolve:ssm:/…`, or an
//! [`ImageQuery`](ec2::ImageQuery): the newest of an owner's whose name fits, for the architecture of the instance type. It is plain data, for all
//! tests to share.
//!
//! ```no_run
//! # use ec2_harness::prelude::*;
//! fn ours() -> ImageQuery {
//!     ImageQuery::named("ours-{arch}-*").owner("self").user("admin")
//! }
//!
//! #[ec2_test(image = ours())]
//! async fn boots(vm: Instance, ec2: Ec2) -> Result {
//!     let all = ec2.images(ours().deprecated()).await?; // the newest first
//!     println!("{} is the newest of {}", vm.id(), all.len());
//!     Ok(())
//! }
//! ```
//!
//! # Images of machines
//!
//! [`snapshot`](ec2::Machine::snapshot) makes an image of a machine with all of its volumes. The machine is cleaned of its own state
//! before (cloud-init's, machine id, host keys), stopped, and started again; [`Image`](ec2::Image) is the guard, which takes every snapshot along.
//!
//! ```no_run
//! # use ec2_harness::prelude::*;
//! # async fn example(ec2: Ec2, vm: Machine) -> Result {
//! vm.exec("apt-get install -y postgresql").sudo().await?;
//! let image = vm.snapshot().await?;
//! let replica = ec2.launch(&image).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Set-ups that run once
//!
//! [`#[ec2_snapshot]`](macro@ec2_snapshot) makes an image of a machine that a function sets up, when the first test needs it; all tests, processes and
//! later runs launch from it until what it was made from changes, or it is older than `max_age`. Those who come meanwhile wait for it, on
//! other hosts, too. Which it is, and how old, is printed.
//!
//! ```no_run
//! use ec2_harness::prelude::*;
//!
//! #[ec2_snapshot(from = "debian-12", max_age = "7d")]
//! async fn with_postgres(vm: Machine) -> Result {
//!     vm.exec("apt-get update").sudo().await?;
//!     vm.exec("apt-get install -y postgresql").sudo().await.map(drop)
//! }
//!
//! #[ec2_test(image = with_postgres, vpc = "10.20.0.0/16")]
//! async fn replica_reaches_primary(primary: Instance, replica: Instance) -> Result {
//!     replica.assert(reach(&primary, tcp(5432))).within(30.secs()).await
//! }
//! ```
//!
//! The image is the account's, and not a run's: a sweep deletes it once nobody has used it for its `max_age`, and
//! [`get_or_create_image`](ec2::Ec2::get_or_create_image) has the handle that does so at once. At the local EC2 it is there as long as that is
//! (`local_linger`). If the set-up fails, every test of the run that needs it fails, and the first has the whole report.
//!
//! # VPCs
//!
//! A machine stands in the default VPC unless it is said otherwise. [`create_vpc`](ec2::Ec2::create_vpc) makes another, with subnets in two zones,
//! public addresses and a way to the internet; the security group of our machines in it, open to SSH from here and among themselves, comes
//! with the first launch. `#[ec2_test(vpc = "10.20.0.0/16")]` has all of a test's machines stand in one of its own; a parameter of the
//! type [`Vpc`](ec2::Vpc) is that, too.
//!
//! ```no_run
//! # use ec2_harness::prelude::*;
//! # async fn example(ec2: Ec2) -> Result {
//! let vpc = ec2.create_vpc(NewVpc::new("10.20.0.0/16").zone_count(3).ipv6()).await?;
//! let (one, other) = (ec2.launch("debian-12").vpc(&vpc).await?, ec2.launch("debian-12").vpc(&vpc).await?);
//! one.assert(reach(&other, tcp(22))).await?;
//! vpc.delete().await?; // with our machines in it, and nothing of anybody else's
//!
//! // Made once by whoever asks first, from whichever host; there until nobody has used it for twice the lease.
//! let shared = ec2.get_or_create_vpc("integration", "10.30.0.0/16").await?;
//! # Ok(())
//! # }
//! ```
//!
//! AWS allows five VPCs in a region, the default one among them: tests that have their own wait for each other.
//!
//! # Waiting
//!
//! A launch returns when the machine is ready: running, SSH answers, and cloud-init, if there is one, is done. A machine
//! that never gets there fails at its deadline (`ready_timeout`, ten minutes) with its state, the reason, and the console's
//! last lines. [`without_waiting`](ec2::Launch::without_waiting) returns as soon as EC2 has accepted, and so do reboot, stop and start if they
//! are told to; `wait_ready`, `wait_for_ssh` and their like wait then, for as long as `.within(…)` says.
//! [`count`](ec2::Launch::count) launches many machines alike by one call.
//!
//! All waiting of a process goes through one poller, so a hundred machines cost about as many calls as one. A test's time is
//! limited by `timeout`, 30 minutes by default, launches included: after it every operation but teardown fails with
//! [`TimedOut`](ErrorKind::TimedOut).
//!
//! # Checks
//!
//! A check is plain data that says what a machine is expected to be; see [`check`] for all kinds. One round trip gathers
//! the facts for all that are asserted together, and every one that doesn't hold is listed with its line and evidence.
//!
//! ```no_run
//! # use ec2_harness::prelude::*;
//! # async fn example(vm: Machine) -> Result {
//! vm.assert((
//!     service("nginx").is_running().is_enabled(),
//!     port(80).is_listening(),
//!     file("/etc/shadow").mode(0o640).owner("root"),
//!     command("nginx -t").succeeds().stderr(contains("syntax is ok")),
//!     package("telnetd").is_missing(),
//! ))
//! .within(30.secs())
//! .await?;
//! # Ok(())
//! # }
//! ```
//!
//! What a machine cannot have, such as a service where there is no systemd, is [`Unanswerable`](ErrorKind::Unanswerable):
//! an error, never a pass. An assert that was never run fails its test, and so does a command or a copy.
//!
//! # Errors
//!
//! There is one type, [`Error`], with a [kind](ErrorKind), and its text says what was tried, on what, why it failed and what to
//! do next. A test returns [`Result`], whose error [`Failure`] takes any error by `?`, and prints as the report. A missing
//! permission is named as IAM knows it.
//!
//! ```no_run
//! # use ec2_harness::prelude::*;
//! # fn example(ec2: Ec2) -> Result {
//! match ec2.launch("debian-12").instance_type("p5.48xlarge").wait() {
//!     Err(failure) if failure.kind() == ErrorKind::Capacity => println!("none to be had: {failure}"),
//!     other => drop(other?),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Skipping
//!
//! `requires = [systemd]` skips a test whose machines lack it: that is printed, and with `EC2_HARNESS_NO_SKIP=1` it fails.
//! libtest has no word for a skip, so it counts as passed there.
//!
//! # With rstest, serial_test and nextest
//!
//! The order of attributes matters:
//!
//! | with | write |
//! |---|---|
//! | rstest | `#[rstest]`, the cases, and then `#[test_attr(ec2_test)]`; parameters that are ours bear `#[ignore]` |
//! | serial_test | `#[serial]` **below** `#[ec2_test]`: above it, it silently drops the parameters |
//! | both | `#[rstest]`, the cases, `#[ec2_harness::test]`, `#[serial]` |
//! | `#[ignore]`, `#[should_panic]`, `#[cfg]` | below `#[ec2_test]`, as on any `#[test]` |
//!
//! ```no_run
//! use ec2_harness::prelude::*;
//!
//! #[rstest]
//! #[case("debian-12")]
//! #[case("al2023")]
//! #[test_attr(ec2_test)]
//! async fn every_image_boots(#[case] image: &str, #[ignore] ec2: Ec2) -> Result {
//!     ec2.launch(image).await?.exec("true").await.map(drop)
//! }
//! ```
//!
//! Those who prefer plain `#[rstest]` find fixtures in `fixtures`. Under nextest each test is a process; they share the
//! run's key, group and watchdog, but no statics: use `#[file_serial]` there rather than `#[serial]`. A failed launch never
//! satisfies `#[should_panic]`.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `local` | on | the local EC2 is built in, and started on demand |
//! | `rstest` | on | `fixtures`, and rstest's attributes in the prelude; their expansions want `rstest` among the dev-dependencies |
//!
//! # Limits
//!
//! - Tests run on Linux. Guests are Linux with an SSH server and a POSIX shell; Windows guests are not supported.
//! - `sudo` is `sudo -n`: the login user must need no password.
//! - The local EC2's machines have no kernel and no systemd of their own.
//! - Processes on different hosts share nothing but EC2: each host's caps are its own.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

mod caller;
mod caps;
pub mod check;
pub mod config;
mod connection;
pub mod ec2;
mod engine;
mod error;
#[cfg(feature = "rstest")]
pub mod fixtures;
mod image_cache;
mod local;
mod lock_file;
pub mod prelude;
mod progress;
mod resource;
mod run;
pub mod runner;
mod scope;
pub mod ssh;
mod state_directory;
pub mod target;
mod task;
mod teardown;

/// The SDK whose types are in our signatures, in the version that they come from.
pub use aws_sdk_ec2;
pub use ec2_harness_macros::{ec2_snapshot, ec2_test, ec2_test as test};
pub use error::{Error, ErrorKind, Failure, Result};
pub use image_cache::{SetUp, SetUpOutcome};
pub use task::{Operation, Task};

#[doc(hidden)]
pub use runner::expansion as __private;
