"""PyTorch, without PyTorch: its random starting weights, and its state dicts both ways."""

from jaxcls.interop.pytorch.starting_weights import init as init
from jaxcls.interop.pytorch.state_dict import from_state_dict as from_state_dict
from jaxcls.interop.pytorch.state_dict import read_safetensors as read_safetensors
from jaxcls.interop.pytorch.state_dict import to_state_dict as to_state_dict
from jaxcls.interop.pytorch.state_dict import write_safetensors as write_safetensors
