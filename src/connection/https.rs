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

/// A client that trusts the bundle beside the system's own authorities; `None` where no bundle is named, and the SDK's own
/// client will do. Proxies come from the environment in either case.
pub(crate) fn client() -> Result<Option<SharedHttpClient>, Error> {
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
    let context = TlsContext::builder().with_trust_store(trusted).build().map_err(|e| failed().caused_by(e))?;
    Ok(Some(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector =
            Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context.clone());
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })))
}
