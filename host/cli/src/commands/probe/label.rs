//! `sc-host probe label`: a page on the loopback address on which people say what pictures show.
//!
//! Only who knows the address, which ends in a random token, can see or label anything; and a page
//! of somebody else that is open in the same browser cannot, since the name that it would have to ask
//! for is not this one.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sc_core::candidate::Verdict;
use sc_model::{JanusModel, UnifiedModel};
use sc_run::fixed::{self, FixedImage};
use sc_run::probe_set::{self, ProbeRow};
use sc_world::Picture;
use serde::{Deserialize, Serialize};
use tiny_http::{Header, Method, Request, Response, Server};

use crate::args::{LabelArguments, RunArguments};
use crate::config::Configuration;
use crate::failure::Mistake;
use crate::model_choice::Chosen;
use crate::report;

/// Most images that are labelled at a time.
const MOST_IMAGES: u32 = 10_000;
/// Most bytes of a label.
const MOST_BODY: u64 = 1024;

/// A picture to be labelled.
struct Asked {
    /// Its file, from the folder of the labels.
    image: PathBuf,
    statement: String,
    png: Vec<u8>,
}

/// What the page is told of a picture.
#[derive(Serialize)]
struct Shown<'a> {
    number: usize,
    statement: &'a str,
}

/// What the page says of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Label {
    number: usize,
    truth: bool,
}

#[derive(Serialize)]
struct Opened<'a> {
    url: &'a str,
    images: usize,
}

#[derive(Serialize)]
struct Ended<'a> {
    out: &'a Path,
    labelled: usize,
}

pub fn label(arguments: &LabelArguments) -> anyhow::Result<ExitCode> {
    if !(1..=MOST_IMAGES).contains(&arguments.images) {
        return Err(Mistake::error(
            format!(
                "`--images` is {}; expected 1 to {MOST_IMAGES}",
                arguments.images
            ),
            "a hundred tell a judge that has become permissive from one that has not",
        ));
    }
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => arguments.run.join("probe.jsonl"),
    };
    let asked = pictures(arguments, &out)?;
    let server = Server::http(("127.0.0.1", arguments.port)).map_err(|error| {
        Mistake::error(
            format!("`--port {}` cannot be opened: {error}", arguments.port),
            "0 takes a free one",
        )
    })?;
    let port = server.server_addr().to_ip().map_or(0, |place| place.port());
    let page = Page {
        host: format!("127.0.0.1:{port}"),
        token: token()?,
        out,
        asked,
    };
    let url = page.url();
    if arguments.json {
        report::json_line(&Opened {
            url: &url,
            images: page.asked.len(),
        })?;
    } else {
        let count = page.asked.len();
        report::text(&format!(
            "{count} pictures to label: open {url}\nlabels go to {}\n",
            page.out.display()
        ))?;
    }
    page.serve(&server)?;
    let labelled = probe_set::rows(&page.out)?.len();
    if arguments.json {
        report::json_line(&Ended {
            out: &page.out,
            labelled,
        })?;
    } else {
        let out = page.out.display();
        report::text(&format!(
            "{labelled} labels in {out}; `sc-host run --probe {out}` measures understanding on them\n"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Half of them accepted by the model and half not, as far as there are so many, in the order in which
/// they were drawn; without those that have a label.
fn pictures(arguments: &LabelArguments, out: &Path) -> anyhow::Result<Vec<Asked>> {
    let typed = RunArguments {
        config: Some(arguments.run.join("config.toml")),
        ..RunArguments::default()
    };
    let configuration = Configuration::resolve(&typed)?;
    let model = Chosen::of(configuration.model)?.load(&configuration.load)?;
    let images = fixed::read(&arguments.run)?;
    let labelled: Vec<PathBuf> = probe_set::rows(out)?
        .into_iter()
        .map(|(_, row)| row.image)
        .collect();
    let (mut accepted, mut others): (Vec<_>, Vec<_>) = images
        .iter()
        .enumerate()
        .partition(|(_, image)| image.verdict == Verdict::Accepted);
    let wanted = arguments.images as usize;
    let of_others = (wanted / 2).max(wanted.saturating_sub(accepted.len()));
    others.truncate(of_others);
    accepted.truncate(wanted - others.len());
    accepted.extend(others);
    accepted.sort_by_key(|(number, _)| *number);
    let folder = out.parent().unwrap_or(Path::new("")).to_owned();
    accepted
        .into_iter()
        .map(|(number, image)| (PathBuf::from(format!("probe/{number:05}.png")), image))
        .filter(|(path, _)| !labelled.contains(path))
        .map(|(path, image)| asked(&model, path, image, &folder))
        .collect()
}

/// Decodes a picture, and puts it where its label will name it.
fn asked(
    model: &JanusModel,
    image: PathBuf,
    FixedImage { prompt, tokens, .. }: &FixedImage,
    folder: &Path,
) -> anyhow::Result<Asked> {
    let size = model.image_size();
    let pixels = model.decode(std::slice::from_ref(tokens))?.flatten_all()?;
    let png = Picture::from_planes(&pixels.to_vec1::<f32>()?, size, size)?.to_png()?;
    let place = folder.join(&image);
    let written = match place.parent() {
        Some(parent) => fs::create_dir_all(parent),
        None => Ok(()),
    };
    written
        .and_then(|()| fs::write(&place, &png))
        .map_err(|error| {
            Mistake::error(
                format!("`{}` cannot be written: {error}", place.display()),
                "name another place with `--out`",
            )
        })?;
    Ok(Asked {
        image,
        statement: prompt.clone(),
        png,
    })
}

/// 128 random bits, as text.
fn token() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system gives no random numbers: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

struct Page {
    host: String,
    token: String,
    out: PathBuf,
    asked: Vec<Asked>,
}

type Answer = Response<std::io::Cursor<Vec<u8>>>;

impl Page {
    fn url(&self) -> String {
        format!("http://{}/{}/", self.host, self.token)
    }

    /// Answers until somebody says that it is enough.
    fn serve(&self, server: &Server) -> anyhow::Result<()> {
        // By number, so that a label given twice is written once.
        let mut given = BTreeMap::new();
        loop {
            let mut request = server.recv()?;
            let path = request.url().to_owned();
            let inside = path
                .strip_prefix('/')
                .and_then(|path| path.strip_prefix(&self.token)?.strip_prefix('/'));
            let Some(inside) = inside.filter(|_| self.is_for_us(&request)) else {
                answer(request, refused(404, "there is nothing here"));
                continue;
            };
            let ends = inside == "end" && *request.method() == Method::Post;
            let response = match (request.method(), inside) {
                (Method::Get, "") => self.page()?,
                (Method::Get, inside) => self.picture(inside),
                (Method::Post, "label") => self.label(&mut request, &mut given),
                (Method::Post, "end") => Response::from_string("ended"),
                _ => refused(405, "this cannot be done here"),
            };
            answer(request, response);
            if ends {
                return Ok(());
            }
        }
    }

    /// Whether the request names this address, and not another that was made to point here.
    fn is_for_us(&self, request: &Request) -> bool {
        let mut hosts = request
            .headers()
            .iter()
            .filter(|header| header.field.equiv("Host"));
        hosts.any(|header| header.value.as_str() == self.host)
    }

    fn page(&self) -> anyhow::Result<Answer> {
        let numbered = self.asked.iter().enumerate();
        let shown: Vec<Shown<'_>> = numbered
            .map(|(number, asked)| Shown {
                number,
                statement: &asked.statement,
            })
            .collect();
        // Within a script, only `<` could end it.
        let state = serde_json::to_string(&shown)?.replace('<', "\\u003c");
        let html = include_str!("label.html")
            .replace("{nonce}", &self.token)
            .replace("{state}", &state);
        let policy = format!(
            "default-src 'none'; img-src 'self'; connect-src 'self'; style-src 'nonce-{0}'; \
             script-src 'nonce-{0}'",
            self.token
        );
        Ok(with_headers(
            Response::from_data(html),
            &[
                ("Content-Type", "text/html; charset=utf-8"),
                ("Content-Security-Policy", &policy),
                ("Referrer-Policy", "no-referrer"),
            ],
        ))
    }

    fn picture(&self, inside: &str) -> Answer {
        let number = inside.strip_prefix("image/");
        let number: Option<usize> = number.and_then(|number| number.parse().ok());
        match number.and_then(|number| self.asked.get(number)) {
            Some(asked) => with_headers(
                Response::from_data(asked.png.clone()),
                &[("Content-Type", "image/png")],
            ),
            None => refused(404, "there is no such picture"),
        }
    }

    fn label(&self, request: &mut Request, given: &mut BTreeMap<usize, bool>) -> Answer {
        let mut body = Vec::new();
        let read = request.as_reader().take(MOST_BODY).read_to_end(&mut body);
        if let Err(error) = read {
            return refused(400, &format!("the label cannot be read: {error}"));
        }
        let label: Label = match serde_json::from_slice(&body) {
            Ok(label) => label,
            Err(error) => return refused(400, &format!("it is no label: {error}")),
        };
        let Some(asked) = self.asked.get(label.number) else {
            return refused(400, "there is no such picture");
        };
        if given.contains_key(&label.number) {
            return refused(409, "the picture has a label");
        }
        let row = ProbeRow {
            image: asked.image.clone(),
            statement: asked.statement.clone(),
            truth: label.truth,
        };
        match probe_set::append(&self.out, &row) {
            Ok(()) => {
                given.insert(label.number, label.truth);
                Response::from_string("saved")
            }
            Err(error) => refused(500, &error.to_string()),
        }
    }
}

fn refused(status: u16, why: &str) -> Answer {
    Response::from_string(why).with_status_code(status)
}

fn with_headers(mut response: Answer, headers: &[(&str, &str)]) -> Answer {
    for (name, value) in headers {
        if let Ok(header) = Header::from_bytes(name.as_bytes(), value.as_bytes()) {
            response.add_header(header);
        }
    }
    response
}

/// Nobody is left to tell if the browser has gone away.
fn answer(request: Request, response: Answer) {
    let _ = request.respond(response);
}
