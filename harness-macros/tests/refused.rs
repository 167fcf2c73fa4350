//! What `#[ec2_test]` refuses: each misuse is an error on the right token that names the alternatives.

#[test]
fn refused() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
