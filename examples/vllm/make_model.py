"""Makes a tiny, randomly initialised Llama around a real tokenizer, so that nothing has to be downloaded.

usage: make_model.py TOKENIZER_JSON[.gz] FOLDER
"""

import gzip
import json
import pathlib
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

source, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
raw = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
(folder / "tokenizer.json").write_bytes(raw)

tokenizer = json.loads(raw)
ids = dict(tokenizer["model"]["vocab"])
ids.update({token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])})
special = {
    role: next((token for token in names if token in ids), None)
    for role, names in {
        "bos_token": ["<s>", "<|begin_of_text|>", "<|endoftext|>"],
        "eos_token": ["</s>", "<|end_of_text|>", "<|endoftext|>"],
    }.items()
}
# This class is known to old and new versions of transformers alike.
config = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE}
config |= {role: token for role, token in special.items() if token is not None}
(folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))

torch.manual_seed(0)
llama = LlamaConfig(
    vocab_size=max(ids.values()) + 1,
    hidden_size=128,
    intermediate_size=256,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    head_dim=64,
    max_position_embeddings=4096,
    bos_token_id=ids.get(special["bos_token"]),
    eos_token_id=ids.get(special["eos_token"]),
)
LlamaForCausalLM(llama).to(torch.bfloat16).save_pretrained(folder)
print(f"{folder}: {llama.vocab_size} tokens, {sum(p.stat().st_size for p in folder.iterdir()) >> 20} MiB")
