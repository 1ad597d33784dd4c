"""Which way messages travel: the controller's not through memory that others can lock."""

from __future__ import annotations

import filecmp
import os
import tempfile
from collections.abc import Iterator
from collections.abc import MutableMapping
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape

from univla_core.paths import config_directory

#: Where Fast DDS looks for profiles: its name up to Jazzy, and the later one.
_PROFILES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
_RANGE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
#: How many processes of one machine are looked for, as rmw_fastrtps does.
_MOST_PEERS = 32

_PROFILE = f"""<?xml version="1.0" encoding="UTF-8"?>
<profiles xmlns="http://www.eprosima.com">
  <transport_descriptors>
    <transport_descriptor>
      <transport_id>univla_udp</transport_id>
      <type>UDPv4</type>
      <maxInitialPeersRange>{_MOST_PEERS}</maxInitialPeersRange>
    </transport_descriptor>
  </transport_descriptors>
  <participant profile_name="univla_participant" is_default_profile="true">
    <rtps>
      %s<userTransports>
        <transport_id>univla_udp</transport_id>
      </userTransports>
      <useBuiltinTransports>false</useBuiltinTransports>
    </rtps>
  </participant>
</profiles>
"""
#: No multicast: whoever is not among the peers is neither told nor heard.
_DISCOVERY = """<builtin>
        <metatrafficUnicastLocatorList><locator><udpv4/></locator></metatrafficUnicastLocatorList>
        <initialPeersList>%s</initialPeersList>
      </builtin>
      """
_PEER = '<locator><udpv4><address>%s</address></udpv4></locator>'


@contextmanager
def without_shared_memory(environment: MutableMapping[str, str] = os.environ) -> Iterator[str]:
    """Let this process speak and hear by UDP only; enter it before `rclpy.init`.

    Fast DDS guards its queues in shared memory by locks that lie there too. A reader that is
    stopped or killed while it holds one holds up everybody who publishes to it, for as long as
    it is stopped. A socket that nobody reads only drops what comes.

    With discovery on this machine alone, rmw_fastrtps adds shared memory to whatever a profile
    says. So the profile made here says itself what that range means.

    Args:
        environment: Variables to change.

    Yields:
        Why the process goes on using shared memory, or an empty text.
    """
    if not environment.get('RMW_IMPLEMENTATION', 'rmw_fastrtps').startswith('rmw_fastrtps'):
        yield ''  # others have no such queues
        return
    given = next((environment[name] for name in _PROFILES if environment.get(name)), '')
    if given and not _is_ours(given):
        yield f'{given} decides about shared memory, by which others can hold up the commands'
        return
    local = environment.get('ROS_LOCALHOST_ONLY') == '1' or environment.get(_RANGE) == 'LOCALHOST'
    peers = [peer for peer in environment.get('ROS_STATIC_PEERS', '').split(';') if peer]
    with tempfile.TemporaryDirectory(prefix='univla_') as folder:
        path = Path(folder, 'controller.xml')
        path.write_text(udp_profile(['127.0.0.1', *peers] if local else ()))
        environment.update(dict.fromkeys(_PROFILES, str(path)))
        if local:
            environment.pop('ROS_LOCALHOST_ONLY', None)
            environment[_RANGE] = 'SYSTEM_DEFAULT'
        yield ''


def udp_profile(peers: Sequence[str] = ()) -> str:
    """Fast DDS profile of a participant that uses UDP only.

    Args:
        peers: Hosts that alone are spoken to; none leaves discovery as it is.
    """
    hosts = ''.join(_PEER % escape(peer) for peer in peers)
    return _PROFILE % (_DISCOVERY % hosts if hosts else '')


def _is_ours(path: str) -> bool:
    own = config_directory() / 'fastdds.xml'
    return Path(path).is_file() and own.is_file() and filecmp.cmp(path, own, shallow=False)
