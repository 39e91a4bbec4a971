"""How fast transformers and sc-host draw with the same weights, in turns: image tokens a second of the
tokens after the first, with guidance 5.

usage: speed.py SC_HOST MODEL [IMAGES [TOKENS]]     default: 8 images, 32 tokens

MODEL is a folder in transformers' layout, such as `sc-host model synth janus-pro-1b` writes.
"""

import json
import subprocess
import sys
import time

import torch
from transformers import DynamicCache, JanusForConditionalGeneration

program, folder = sys.argv[1:3]
images = int(sys.argv[3]) if len(sys.argv) > 3 else 8
tokens = int(sys.argv[4]) if len(sys.argv) > 4 else 32
TURNS = 3
GUIDANCE = 5.0
PROMPT_TOKENS = 16


@torch.no_grad()
def by_transformers(model):
    """The modules in a plain loop, which is faster than `generate`."""
    llama = model.model.language_model
    cache = DynamicCache()
    ids = torch.randint(0, 90_000, (2 * images, PROMPT_TOKENS))
    inputs = llama.get_input_embeddings()(ids)
    for token in range(tokens + 1):
        hidden = llama(inputs_embeds=inputs, past_key_values=cache, use_cache=True).last_hidden_state
        logits = model.model.generation_head(hidden[:, -1]).float()
        conditional, unconditional = logits.split(images)
        guided = unconditional + GUIDANCE * (conditional - unconditional)
        chosen = torch.multinomial(torch.softmax(guided, -1), 1)[:, 0]
        inputs = model.prepare_embeddings_for_image_generation(torch.cat([chosen, chosen]))[:, None]
        if token == 0:
            start = time.perf_counter()
    return images * tokens / (time.perf_counter() - start)


def by_sc_host():
    options = ["--images", str(images), "--tokens", str(tokens), "--guidance", str(GUIDANCE)]
    command = [program, "model", "speed", folder, "--only-drawing", "--json", *options]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return next(m["per_second"] for m in map(json.loads, lines) if m["what"] == "drawing")


model = JanusForConditionalGeneration.from_pretrained(folder, dtype="auto").eval()
by_transformers(model)
for _ in range(TURNS):
    theirs, ours = by_transformers(model), by_sc_host()
    print(f"transformers {theirs:.1f}  sc-host {ours:.1f}  ratio {ours / theirs:.2f}", flush=True)
