//! What stands where a strategy should be.

use serde_json::json;

use super::{Attack, attack, holding, with_manifest};
use crate::sharing::Person;
use crate::sharing::hostile_registry::{COMPONENT, MANIFEST, host, manifest, shelf};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub(super) fn all() -> Vec<Attack> {
    vec![
        attack(
            "a list of manifests",
            &["is a list of manifests", INDEX],
            || {
                holding(|shelf| {
                    let entry =
                        json!({"mediaType": MANIFEST, "digest": shelf.digest("1"), "size": 1});
                    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": vec![entry; 1000]});
                    shelf.put_bytes("1", INDEX, list.to_string().into_bytes());
                })
            },
        ),
        attack(
            "a list that is announced as a manifest",
            &["is a list of manifests"],
            || with_manifest(|manifest| manifest["manifests"] = json!([])),
        ),
        attack("two layers", &["has 2 layers; expected one"], || {
            with_manifest(|manifest| {
                let layer = manifest["layers"][0].clone();
                manifest["layers"] = json!([layer, layer]);
            })
        }),
        attack("no layer", &["has 0 layers; expected one"], || {
            with_manifest(|manifest| manifest["layers"] = json!([]))
        }),
        attack(
            "a layer of another media type",
            &["`application/vnd.oci.image.layer.v1.tar+gzip`"],
            || {
                with_manifest(|manifest| {
                    manifest["layers"][0]["mediaType"] =
                        json!("application/vnd.oci.image.layer.v1.tar+gzip");
                })
            },
        ),
        attack(
            "a manifest of another media type",
            &["media type `application/x`"],
            || with_manifest(|manifest| manifest["mediaType"] = json!("application/x")),
        ),
        attack(
            "a manifest of another schema",
            &["schema version 1; expected 2"],
            || with_manifest(|manifest| manifest["schemaVersion"] = json!(1)),
        ),
        attack("a manifest without its end", &["does not read"], || {
            holding(|shelf| {
                let whole = shelf.manifests["1"].1.clone();
                shelf.put_bytes("1", MANIFEST, whole[..whole.len() - 1].to_vec());
            })
        }),
        attack(
            "a manifest a hundred thousand levels deep",
            &["does not read"],
            || {
                holding(|shelf| {
                    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
                    shelf.put_bytes("1", MANIFEST, deep.into_bytes());
                })
            },
        ),
        attack(
            "a layer whose digest leads out of the cache",
            &["does not read", "hexadecimal"],
            || {
                with_manifest(|manifest| {
                    manifest["layers"][0]["digest"] = json!("sha256:../../../../../tmp/evil");
                })
            },
        ),
        attack("a layer of a negative size", &["does not read"], || {
            with_manifest(|manifest| manifest["layers"][0]["size"] = json!(-1))
        }),
        attack(
            "bytes that are no component",
            &["is not WebAssembly"],
            || {
                let mut shelf = shelf();
                let layer = b"#!/bin/sh\nrm -rf ~\n";
                shelf.put_blob(layer);
                shelf.put("1", &manifest(COMPONENT, layer));
                let server = shelf.serve(|_, reply| reply);
                let person = Person::new();
                let outcome =
                    person.types(&["strategy", "add", &format!("{}/team/x:1", host(&server))]);
                (person, outcome)
            },
        ),
    ]
}
