//! HTTPS with certificate authorities of one's own: `AWS_CA_BUNDLE`, which the CLI and the other SDKs honour and the Rust one
//! doesn't. <https://docs.aws.amazon.com/sdkref/latest/guide/feature-gen-config.html>

use crate::error::{Error, ErrorKind};
use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use std::{env, fs, path::PathBuf};

/// A client that trusts the bundle, if one is named, beside the system's own authorities. Proxies come from the environment.
pub(crate) fn client() -> Result<SharedHttpClient, Error> {
    let context = bundle()?;
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        if let Some(context) = &context {
            connector = connector.tls_context(context.clone());
        }
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    }))
}

/// The bundle, if one is named.
fn bundle() -> Result<Option<TlsContext>, Error> {
    let Some(path) = env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from) else {
        return Ok(None);
    };
    let failed = || {
        Error::new(ErrorKind::Configuration, format!("use the certificates in {} (AWS_CA_BUNDLE)", path.display()))
            .advise("name a file of PEM certificates, or unset the variable")
    };
    let bundle = fs::read(&path).map_err(|e| failed().caused_by(e))?;
    // The client itself would only fail with the first connection, and say little.
    if !bundle.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") {
        return Err(failed().because("there is no PEM certificate in it"));
    }
    let trusted = TrustStore::default().with_native_roots(true).with_pem_certificate(bundle);
    TlsContext::builder().with_trust_store(trusted).build().map(Some).map_err(|e| failed().caused_by(e))
}
