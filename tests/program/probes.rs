//! `sc-host probe`: the labelling page, probe sets, learning dynamics.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{command, folder, rows, sc_host, small_run};

/// An answer of the page: status and body.
fn request(host: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(host).expect("a connection");
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n\
         {body}"
    );
    stream.write_all(text.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.expect("a head") + 4);
    let head = String::from_utf8_lossy(head);
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_vec())
}

#[test]
fn images_are_labelled_on_a_page_and_probe_a_run() {
    let folder = folder();
    small_run(folder.path(), &[]).succeeded();
    let label = ["probe", "label", "out", "--images", "8", "--json"];
    let mut child = command(folder.path(), &label)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    let opened: Value =
        serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON");
    assert_eq!(opened["images"], 8);
    let url = opened["url"].as_str().expect("an address");
    let rest = url.strip_prefix("http://").expect("plain HTTP");
    let (host, path) = rest.split_once('/').expect("a path");
    let path = format!("/{path}");
    assert!(host.starts_with("127.0.0.1:"), "{host}");
    let own = format!("Host: {host}\r\n");

    let (status, page) = request(host, "GET", &path, &own, "");
    let page = String::from_utf8(page).expect("text");
    assert_eq!(status, 200);
    let (status, picture) = request(host, "GET", &format!("{path}image/0"), &own, "");
    assert_eq!((status, &picture[1..4]), (200, &b"PNG"[..]));
    // Who does not know the token, or comes by another name, sees nothing.
    assert_eq!(request(host, "GET", "/", &own, "").0, 404);
    assert_eq!(request(host, "GET", "/0123/image/0", &own, "").0, 404);
    assert_eq!(
        request(host, "GET", &path, "Host: example.com\r\n", "").0,
        404
    );

    let send = |body: &str| request(host, "POST", &format!("{path}label"), &own, body).0;
    for number in 0..6 {
        let truth = number % 2 == 0;
        let body = format!("{{\"number\": {number}, \"truth\": {truth}}}");
        assert_eq!(send(&body), 200);
    }
    assert_eq!(send("{\"number\": 0, \"truth\": true}"), 409, "once");
    assert_eq!(send("{\"number\": 99, \"truth\": true}"), 400);
    assert_eq!(send("nonsense"), 400);
    assert_eq!(
        request(host, "POST", &format!("{path}end"), &own, "null").0,
        200
    );
    let ended: Value =
        serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON");
    assert_eq!(ended["labelled"], 6);
    assert!(child.wait().expect("ended").success());

    let labels = rows(&folder.path().join("out/probe.jsonl"));
    assert_eq!(labels.len(), 6);
    for row in &labels {
        let statement = row["statement"].as_str().expect("a statement");
        assert!(page.contains(statement), "{statement}");
        let image = row["image"].as_str().expect("a path");
        assert!(folder.path().join("out").join(image).is_file());
    }

    let probed = [
        "run",
        "--json",
        "--out",
        "probed",
        "--rounds",
        "1",
        "--prompts",
        "20",
        "--evaluate",
        "10",
        "--probe",
        "out/probe.jsonl",
    ];
    let run = sc_host(folder.path(), &probed).succeeded();
    let lines = run.json_lines();
    let understanding = &lines.last().expect("a summary")["before"]["understanding_accuracy"];
    assert_eq!(understanding["n"], 6);
    // It is part of the configuration, and runs again.
    let again = ["run", "--out", "again", "--config", "probed/config.toml"];
    sc_host(folder.path(), &again).succeeded();
}

#[test]
fn a_probe_set_is_refused_with_its_line() {
    let folder = folder();
    fs::write(folder.path().join("no.png"), b"no picture").expect("written");
    let row = |image: &str| {
        format!("{{\"image\":\"{image}\",\"statement\":\"a ring\",\"truth\":true}}\n")
    };
    for (text, expected) in [
        (String::new(), "line 1: there is no row"),
        ("{}\n".to_owned(), "line 1: missing field `image`"),
        (format!("\n{}", row("absent.png")), "line 2: `absent.png`"),
        (row("no.png"), "line 1: `no.png`: it is no PNG"),
    ] {
        fs::write(folder.path().join("probe.jsonl"), text).expect("written");
        let arguments = ["run", "--out", "out", "--probe", "probe.jsonl"];
        let refused = sc_host(folder.path(), &arguments);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(
            refused.stderr.contains(expected),
            "{expected}: {}",
            refused.stderr
        );
        assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
        assert!(!folder.path().join("out").exists());
    }
}

#[test]
fn dynamics_tell_alignment_by_layer_and_draw_it() {
    let folder = folder();
    small_run(folder.path(), &[]).succeeded();
    let arguments = ["probe", "dynamics", "out", "--examples", "32", "--json"];
    let measured = sc_host(folder.path(), &arguments).succeeded();
    let measured = &measured.json_lines()[0];
    assert_eq!(measured["labelled"], 32);
    let models = measured["models"].as_array().expect("models");
    assert_eq!(models.len(), 2, "before and after");
    for model in models {
        let groups = model["groups"].as_array().expect("groups");
        assert_eq!(
            groups.len(),
            4 * 3 + 2,
            "three a layer, the last norm, and all"
        );
        for group in groups {
            let cosine = group["cosine"].as_f64().expect("a number");
            assert!((-1.0..=1.0).contains(&cosine), "{group}");
            assert!(group["generation_norm"].as_f64() > Some(0.0), "{group}");
        }
        // A step is short enough for the first order, which lowers the loss that it goes down.
        let of = |which: &str, loss: &str| model[which][loss].as_f64().expect("a number");
        let (found, predicted) = (of("step", "generation"), of("step_predicted", "generation"));
        assert!(
            found < 0.0 && (found / predicted - 1.0).abs() < 0.2,
            "{model}"
        );
    }
    assert!(measured["run"]["generation"].is_number());
    let plot = fs::read_to_string(folder.path().join("out/dynamics.svg")).expect("a plot");
    assert!(plot.starts_with("<svg") && plot.contains("layer 3 attention"));
    // Without a run nothing is known of a run.
    let alone = [
        "probe",
        "dynamics",
        "--model",
        "out/model",
        "--examples",
        "8",
        "--json",
    ];
    let alone = sc_host(folder.path(), &alone).succeeded();
    assert!(alone.json_lines()[0].get("run").is_none());
    assert!(folder.path().join("dynamics.svg").is_file());
}
