//! `other-registry-tools verify REF KEY.pub | sign REF KEY.key PASSWORD | push FILE REF | pull REF FILE`, with a
//! registry on the loopback address.

use std::fs;

use anyhow::{Context, anyhow, bail};
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_wasm::{WasmClient, WasmConfig};
use sigstore::cosign::constraint::{Constraint, PrivateKeySigner};
use sigstore::cosign::verification_constraint::{PublicKeyVerifier, VerificationConstraintVec};
use sigstore::cosign::{ClientBuilder, CosignCapabilities, SignatureLayer, verify_constraints};
use sigstore::crypto::SigningScheme;
use sigstore::registry::{Auth, OciReference};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["verify", reference, key] => verify(reference, key).await,
        ["sign", reference, key, password] => sign(reference, key, password).await,
        ["push", file, reference] => push(file, reference).await,
        ["pull", reference, file] => pull(reference, file).await,
        _ => bail!("expected verify REF KEY, sign REF KEY PASSWORD, push FILE REF or pull REF FILE"),
    }
}

fn cosign() -> anyhow::Result<sigstore::cosign::Client> {
    let config = sigstore::registry::ClientConfig {
        protocol: sigstore::registry::ClientProtocol::Http,
        ..Default::default()
    };
    Ok(ClientBuilder::default()
        .with_oci_client_config(config)
        .build()?)
}

async fn verify(reference: &str, key: &str) -> anyhow::Result<()> {
    let reference: OciReference = reference.parse()?;
    let layers = cosign()?
        .trusted_signature_layers(&Auth::Anonymous, &reference)
        .await?;
    let key = fs::read(key).context("the key")?;
    let verifier = PublicKeyVerifier::new(&key, &SigningScheme::ECDSA_P256_SHA256_ASN1)?;
    let constraints: VerificationConstraintVec = vec![Box::new(verifier)];
    verify_constraints(&layers, constraints.iter())
        .map_err(|error| anyhow!("{} layers, none good: {error}", layers.len()))?;
    println!("{reference} is signed");
    Ok(())
}

async fn sign(reference: &str, key: &str, password: &str) -> anyhow::Result<()> {
    let mut client = cosign()?;
    let reference: OciReference = reference.parse()?;
    let (signatures, digest) = client.triangulate(&reference, &Auth::Anonymous).await?;
    let mut layer = SignatureLayer::new_unsigned(&reference, &digest)?;
    let key = fs::read(key).context("the key")?.into();
    let password = password.as_bytes().to_vec().into();
    let scheme = SigningScheme::ECDSA_P256_SHA256_ASN1;
    PrivateKeySigner::new_with_raw(key, password, &scheme)?.add_constraint(&mut layer)?;
    client
        .push_signature(None, &Auth::Anonymous, &signatures, vec![layer])
        .await?;
    Ok(())
}

fn wasm() -> WasmClient {
    WasmClient::new(Client::new(ClientConfig {
        protocol: ClientProtocol::Http,
        ..Default::default()
    }))
}

async fn push(file: &str, reference: &str) -> anyhow::Result<()> {
    let (config, layer) = WasmConfig::from_component(file, None).await?;
    let reference = reference.parse()?;
    wasm()
        .push(&reference, &RegistryAuth::Anonymous, layer, config, None)
        .await?;
    Ok(())
}

async fn pull(reference: &str, file: &str) -> anyhow::Result<()> {
    let (client, reference) = (wasm(), reference.parse()?);
    // The configuration must read as that of a component, too.
    client
        .pull_manifest_and_config(&reference, &RegistryAuth::Anonymous)
        .await?;
    let pulled = client.pull(&reference, &RegistryAuth::Anonymous).await?;
    let layer = pulled.layers.into_iter().next().context("no layer")?;
    fs::write(file, layer.data)?;
    Ok(())
}
