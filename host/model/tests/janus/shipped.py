"""Writes what transformers draws greedily with a tiny checkpoint, and how it judges that.

    pip install torch transformers
    python host/model/tests/janus/shipped.py models/tiny > host/model/tests/janus/shipped.json
"""

import json
import sys

import torch
from tokenizers import Tokenizer
from transformers import JanusForConditionalGeneration

PROMPTS = [
    "a red circle and a blue square",
    "a black ring and a green cross",
    "a circle and a ring",
    "a triangle and a cross and a square",
    "a ring left of a cross",
    "a square below a circle",
    "three blue rings",
    "four crosses",
    "a yellow triangle",
    "two circles and a square",
    "a ring and three triangles",
    "a red circle above a blue square",
    "a purple cross right of a green ring",
    "two red circles and a blue square",
    "a blue cross and a purple ring and a yellow circle",
]

folder = sys.argv[1]
model = JanusForConditionalGeneration.from_pretrained(folder).eval()
janus, llama = model.model, model.model.language_model
tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
with open(f"{folder}/templates.json", encoding="utf-8") as file:
    templates = json.load(file)
kept = {tokenizer.token_to_id(token) for token in ("<｜begin▁of▁sentence｜>", "<begin_of_image>")}
pad = tokenizer.token_to_id("<｜▁pad▁｜>")
tokens = janus.config.vision_config.image_size // janus.config.vision_config.patch_size


def ids(text):
    return tokenizer.encode(text, add_special_tokens=False).ids


@torch.no_grad()
def draw(prompt, guidance):
    asked = ids(templates["draw"].replace("{prompt}", prompt))
    unasked = [id if id in kept else pad for id in asked]
    x = llama.embed_tokens(torch.tensor([asked, unasked]))
    drawn = []
    for _ in range(tokens**2):
        hidden = llama(inputs_embeds=x, use_cache=False).last_hidden_state[:, -1]
        with_prompt, without = janus.generation_head(hidden)
        drawn.append(int((without + guidance * (with_prompt - without)).argmax()))
        last = torch.tensor([drawn[-1:]] * 2)
        embedded = model.prepare_embeddings_for_image_generation(last)
        x = torch.cat([x, embedded.reshape(2, 1, -1)], 1)
    return drawn


@torch.no_grad()
def p_yes(drawn, prompt):
    pixels = model.decode_image_tokens(torch.tensor([drawn])).clamp(-1, 1)
    if pixels.shape[-1] == 3:
        pixels = pixels.permute(0, 3, 1, 2)
    features = janus.get_image_features(pixels)
    features = features if torch.is_tensor(features) else features.pooler_output
    before, after = templates["judge"].replace("{prompt}", prompt).split("{image}")
    embed = lambda text: llama.embed_tokens(torch.tensor([ids(text)]))
    x = torch.cat([embed(before), features.reshape(1, tokens**2, -1), embed(after)], 1)
    logits = model.lm_head(llama(inputs_embeds=x, use_cache=False).last_hidden_state[0, -1])
    yes, no = (logits[tokenizer.token_to_id(templates[word])] for word in ("yes", "no"))
    return round(float(torch.sigmoid(yes - no)), 5)


rows = []
for guidance in (1.0, 2.0):
    for prompt in PROMPTS:
        drawn = draw(prompt, guidance)
        row = {"prompt": prompt, "guidance": guidance, "tokens": drawn, "p_yes": p_yes(drawn, prompt)}
        rows.append(json.dumps(row, ensure_ascii=False))
print("[\n " + ",\n ".join(rows) + "\n]")
