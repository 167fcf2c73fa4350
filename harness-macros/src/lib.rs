//! The attribute macros of ec2-harness. They are used through it, as `ec2_harness::ec2_test`, and are of no use without.
//!
//! They check what was written and point at what can't be; what a test then does is decided in `ec2_harness::runner`. An
//! expansion is one function with `#[test]`, the test author's function within it, and one call.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

mod arguments;
mod attributes;
mod expand;
mod function;
mod snapshot;
mod suggest;
mod value;

use proc_macro::TokenStream;

/// Makes a test of a function that wants machines.
///
/// The function is `async` or not, and returns `()`, a `Result` whose error is `Debug`, or an `ExitCode`. Its parameters
/// are provided by their types: `Instance`, `[Instance; N]`, `Ec2`, `TestContext`. All machines that it declares are
/// launched together and bear the names of their parameters; when the test is over, they end.
///
/// ```text
/// #[ec2_test(image = "debian-12", timeout = "5m", requires = [systemd])]
/// async fn boots(vm: Instance) -> Result {
///     vm.exec("true").await.map(drop)
/// }
/// ```
///
/// # Arguments
///
/// What isn't given is taken from the configuration.
///
/// | Argument | Value |
/// |---|---|
/// | `image = …` | A string: AMI id, alias, or `resolve:ssm:/…`; an expression of `ImageQuery`; or the name of an `#[ec2_snapshot]`. |
/// | `instance_type = …` | A string. |
/// | `volumes = [gp3(20)]` | Volumes beside the root, in their order: `vm.volume(0)` is the first. |
/// | `extra_nics = 1` | How many network interfaces each machine has beside its first: `vm.network_interfaces()`. Default: none. |
/// | `user_data = …` | A string, for every machine that a parameter declares. Default: none. |
/// | `vpc = "10.20.0.0/16"` | The range of a VPC of the test's own, a string; all that the test launches stands in it. Default: none, unless a parameter is a `Vpc`. |
/// | `region = …` | A string. |
/// | `timeout = "90s"` | How long the test may take, launch included; a string with a unit, or a `Duration`. |
/// | `keep = failed` | What the finished test leaves running: `no`, `failed` or `always`. |
/// | `tags = { team = "x", "cost:center" = "7" }` | Tags on all that the test creates, beside the configured ones. |
/// | `requires = [systemd]` | What must be there, else the test is skipped: `local`, `aws`, `x86_64`, `arm64`, `systemd`, `cloud_init`, `sudo`. |
/// | `vm(name, image = …)` | `image`, `instance_type`, `user_data`, `volumes`, `extra_nics` and `tags` of the one parameter `name`. |
/// | `crate = path` | Where ec2-harness is found, if it was renamed. |
///
/// Strings are literals, constants or other expressions that are `Into<String>`.
///
/// # Other attributes
///
/// `#[ignore]`, `#[should_panic]`, `#[cfg(..)]` and all others below `#[ec2_test]` work as on a `#[test]`. A failed launch
/// never satisfies `#[should_panic]`. `#[serial]` and `#[file_serial]` of serial_test go **below** `#[ec2_test]`: above
/// it they silently drop the parameters.
///
/// With rstest, `#[rstest]` comes first, this one is named by `#[test_attr(ec2_test)]`, and the parameters that are ours are
/// marked with `#[ignore]`; each case launches its own machines:
///
/// ```text
/// #[rstest]
/// #[case("debian-12")]
/// #[case("al2023")]
/// #[test_attr(ec2_test)]
/// async fn every_image_boots(#[case] image: &str, #[ignore] ec2: Ec2) -> Result { … }
/// ```
///
/// rstest puts the attribute of `#[test_attr]` below all others. Where another must stand below it, such as `#[serial]`,
/// write this macro by its other name, which rstest leaves where it stands: `#[ec2_harness::test]`. For a time limit use
/// `timeout = …`: rstest's `#[timeout]` abandons a sync test's thread, and with it the machines that it holds.
#[proc_macro_attribute]
pub fn ec2_test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::ec2_test(arguments.into(), item.into()).into()
}

/// Makes an image of a machine that the function sets up: once, for all tests, processes and later runs that launch from it.
///
/// The function is `async` or not, takes the `Machine` that it sets up, and returns `()` or a `Result` whose error `?` takes into a
/// `Failure`. Its name stands for the image then, a `SetUp`: `#[ec2_test(image = with_postgres)]`, `ec2.launch(with_postgres)`.
///
/// ```text
/// #[ec2_snapshot(from = "debian-12", max_age = "7d")]
/// async fn with_postgres(vm: Machine) -> Result {
///     vm.exec("apt-get update").sudo().await?;
///     vm.exec("apt-get install -y postgresql").sudo().await.map(drop)
/// }
/// ```
///
/// It runs when the first test needs the image, while the others wait, and again once what it is made from has changed: the function's
/// tokens, the image that it starts from, the architecture, the inputs. Its layout and its comments don't count, and functions and
/// constants that it uses aren't seen: name their files as inputs. If it fails, every test that needs it fails, and it isn't tried again
/// in that run. It may take as long as a test's `timeout`, and half an hour at least. The machine is cleaned of its own state before the image is taken, as `Machine::snapshot` does it.
///
/// # Arguments
///
/// | Argument | Value |
/// |---|---|
/// | `from = …` | What the machine is launched from: a string, or the name of another `#[ec2_snapshot]`. Default: the configured image. |
/// | `max_age = "7d"` | After which age it is made anew, and for how long it stays unused; a string with a unit, or a `Duration`. Default: 7 days. |
/// | `inputs = ["files/nginx.conf"]` | Files, and directories with all that is in them, relative to the package's `Cargo.toml`, whose content counts. Default: none. |
/// | `crate = path` | Where ec2-harness is found, if it was renamed. |
#[proc_macro_attribute]
pub fn ec2_snapshot(arguments: TokenStream, item: TokenStream) -> TokenStream {
    snapshot::ec2_snapshot(arguments.into(), item.into()).into()
}
