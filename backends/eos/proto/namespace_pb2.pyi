# mypy: ignore-errors
from backends.eos.proto import console_pb2 as _console_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TYPE(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE: _ClassVar[TYPE]
    CONTAINER: _ClassVar[TYPE]
    LISTING: _ClassVar[TYPE]
    STAT: _ClassVar[TYPE]

class QUOTATYPE(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USER: _ClassVar[QUOTATYPE]
    GROUP: _ClassVar[QUOTATYPE]
    PROJECT: _ClassVar[QUOTATYPE]

class QUOTAOP(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GET: _ClassVar[QUOTAOP]
    SET: _ClassVar[QUOTAOP]
    RM: _ClassVar[QUOTAOP]
    RMNODE: _ClassVar[QUOTAOP]

class QUOTAENTRY(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NONE: _ClassVar[QUOTAENTRY]
    VOLUME: _ClassVar[QUOTAENTRY]
    INODE: _ClassVar[QUOTAENTRY]
FILE: TYPE
CONTAINER: TYPE
LISTING: TYPE
STAT: TYPE
USER: QUOTATYPE
GROUP: QUOTATYPE
PROJECT: QUOTATYPE
GET: QUOTAOP
SET: QUOTAOP
RM: QUOTAOP
RMNODE: QUOTAOP
NONE: QUOTAENTRY
VOLUME: QUOTAENTRY
INODE: QUOTAENTRY

class PingRequest(_message.Message):
    __slots__ = ("authkey", "message")
    AUTHKEY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    authkey: str
    message: bytes
    def __init__(self, authkey: _Optional[str] = ..., message: _Optional[bytes] = ...) -> None: ...

class PingReply(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: bytes
    def __init__(self, message: _Optional[bytes] = ...) -> None: ...

class NotificationRequest(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: bytes
    def __init__(self, message: _Optional[bytes] = ...) -> None: ...

class NotificationResponse(_message.Message):
    __slots__ = ("success",)
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    success: bool
    def __init__(self, success: _Optional[bool] = ...) -> None: ...

class Time(_message.Message):
    __slots__ = ("sec", "n_sec")
    SEC_FIELD_NUMBER: _ClassVar[int]
    N_SEC_FIELD_NUMBER: _ClassVar[int]
    sec: int
    n_sec: int
    def __init__(self, sec: _Optional[int] = ..., n_sec: _Optional[int] = ...) -> None: ...

class Checksum(_message.Message):
    __slots__ = ("value", "type")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    value: bytes
    type: str
    def __init__(self, value: _Optional[bytes] = ..., type: _Optional[str] = ...) -> None: ...

class FileMdProto(_message.Message):
    __slots__ = ("id", "cont_id", "uid", "gid", "size", "layout_id", "flags", "name", "link_name", "ctime", "mtime", "checksum", "locations", "unlink_locations", "xattrs", "path", "etag", "inode", "checksums")
    class XattrsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    CONT_ID_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    GID_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_ID_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LINK_NAME_FIELD_NUMBER: _ClassVar[int]
    CTIME_FIELD_NUMBER: _ClassVar[int]
    MTIME_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    LOCATIONS_FIELD_NUMBER: _ClassVar[int]
    UNLINK_LOCATIONS_FIELD_NUMBER: _ClassVar[int]
    XATTRS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    INODE_FIELD_NUMBER: _ClassVar[int]
    CHECKSUMS_FIELD_NUMBER: _ClassVar[int]
    id: int
    cont_id: int
    uid: int
    gid: int
    size: int
    layout_id: int
    flags: int
    name: bytes
    link_name: bytes
    ctime: Time
    mtime: Time
    checksum: Checksum
    locations: _containers.RepeatedScalarFieldContainer[int]
    unlink_locations: _containers.RepeatedScalarFieldContainer[int]
    xattrs: _containers.ScalarMap[str, bytes]
    path: bytes
    etag: str
    inode: int
    checksums: _containers.RepeatedCompositeFieldContainer[Checksum]
    def __init__(self, id: _Optional[int] = ..., cont_id: _Optional[int] = ..., uid: _Optional[int] = ..., gid: _Optional[int] = ..., size: _Optional[int] = ..., layout_id: _Optional[int] = ..., flags: _Optional[int] = ..., name: _Optional[bytes] = ..., link_name: _Optional[bytes] = ..., ctime: _Optional[_Union[Time, _Mapping]] = ..., mtime: _Optional[_Union[Time, _Mapping]] = ..., checksum: _Optional[_Union[Checksum, _Mapping]] = ..., locations: _Optional[_Iterable[int]] = ..., unlink_locations: _Optional[_Iterable[int]] = ..., xattrs: _Optional[_Mapping[str, bytes]] = ..., path: _Optional[bytes] = ..., etag: _Optional[str] = ..., inode: _Optional[int] = ..., checksums: _Optional[_Iterable[_Union[Checksum, _Mapping]]] = ...) -> None: ...

class ContainerMdProto(_message.Message):
    __slots__ = ("id", "parent_id", "uid", "gid", "mode", "tree_size", "flags", "name", "ctime", "mtime", "stime", "xattrs", "path", "etag", "inode", "files", "containers")
    class XattrsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    GID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TREE_SIZE_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CTIME_FIELD_NUMBER: _ClassVar[int]
    MTIME_FIELD_NUMBER: _ClassVar[int]
    STIME_FIELD_NUMBER: _ClassVar[int]
    XATTRS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    INODE_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    id: int
    parent_id: int
    uid: int
    gid: int
    mode: int
    tree_size: int
    flags: int
    name: bytes
    ctime: Time
    mtime: Time
    stime: Time
    xattrs: _containers.ScalarMap[str, bytes]
    path: bytes
    etag: str
    inode: int
    files: int
    containers: int
    def __init__(self, id: _Optional[int] = ..., parent_id: _Optional[int] = ..., uid: _Optional[int] = ..., gid: _Optional[int] = ..., mode: _Optional[int] = ..., tree_size: _Optional[int] = ..., flags: _Optional[int] = ..., name: _Optional[bytes] = ..., ctime: _Optional[_Union[Time, _Mapping]] = ..., mtime: _Optional[_Union[Time, _Mapping]] = ..., stime: _Optional[_Union[Time, _Mapping]] = ..., xattrs: _Optional[_Mapping[str, bytes]] = ..., path: _Optional[bytes] = ..., etag: _Optional[str] = ..., inode: _Optional[int] = ..., files: _Optional[int] = ..., containers: _Optional[int] = ...) -> None: ...

class RoleId(_message.Message):
    __slots__ = ("uid", "gid", "username", "groupname", "app", "trace", "onbehalf")
    UID_FIELD_NUMBER: _ClassVar[int]
    GID_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    GROUPNAME_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    ONBEHALF_FIELD_NUMBER: _ClassVar[int]
    uid: int
    gid: int
    username: str
    groupname: str
    app: str
    trace: str
    onbehalf: str
    def __init__(self, uid: _Optional[int] = ..., gid: _Optional[int] = ..., username: _Optional[str] = ..., groupname: _Optional[str] = ..., app: _Optional[str] = ..., trace: _Optional[str] = ..., onbehalf: _Optional[str] = ...) -> None: ...

class MDId(_message.Message):
    __slots__ = ("path", "id", "ino", "type")
    PATH_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    INO_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    id: int
    ino: int
    type: TYPE
    def __init__(self, path: _Optional[bytes] = ..., id: _Optional[int] = ..., ino: _Optional[int] = ..., type: _Optional[_Union[TYPE, str]] = ...) -> None: ...

class Limit(_message.Message):
    __slots__ = ("zero", "min", "max")
    ZERO_FIELD_NUMBER: _ClassVar[int]
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    zero: bool
    min: int
    max: int
    def __init__(self, zero: _Optional[bool] = ..., min: _Optional[int] = ..., max: _Optional[int] = ...) -> None: ...

class MDSelection(_message.Message):
    __slots__ = ("select", "ctime", "mtime", "stime", "size", "treesize", "children", "locations", "unlinked_locations", "layoutid", "flags", "symlink", "checksum", "owner", "group", "owner_root", "group_root", "regexp_filename", "regexp_dirname", "xattr")
    class XattrEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    SELECT_FIELD_NUMBER: _ClassVar[int]
    CTIME_FIELD_NUMBER: _ClassVar[int]
    MTIME_FIELD_NUMBER: _ClassVar[int]
    STIME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    TREESIZE_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_FIELD_NUMBER: _ClassVar[int]
    LOCATIONS_FIELD_NUMBER: _ClassVar[int]
    UNLINKED_LOCATIONS_FIELD_NUMBER: _ClassVar[int]
    LAYOUTID_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    SYMLINK_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    OWNER_ROOT_FIELD_NUMBER: _ClassVar[int]
    GROUP_ROOT_FIELD_NUMBER: _ClassVar[int]
    REGEXP_FILENAME_FIELD_NUMBER: _ClassVar[int]
    REGEXP_DIRNAME_FIELD_NUMBER: _ClassVar[int]
    XATTR_FIELD_NUMBER: _ClassVar[int]
    select: bool
    ctime: Limit
    mtime: Limit
    stime: Limit
    size: Limit
    treesize: Limit
    children: Limit
    locations: Limit
    unlinked_locations: Limit
    layoutid: int
    flags: int
    symlink: bool
    checksum: Checksum
    owner: int
    group: int
    owner_root: bool
    group_root: bool
    regexp_filename: bytes
    regexp_dirname: bytes
    xattr: _containers.ScalarMap[str, bytes]
    def __init__(self, select: _Optional[bool] = ..., ctime: _Optional[_Union[Limit, _Mapping]] = ..., mtime: _Optional[_Union[Limit, _Mapping]] = ..., stime: _Optional[_Union[Limit, _Mapping]] = ..., size: _Optional[_Union[Limit, _Mapping]] = ..., treesize: _Optional[_Union[Limit, _Mapping]] = ..., children: _Optional[_Union[Limit, _Mapping]] = ..., locations: _Optional[_Union[Limit, _Mapping]] = ..., unlinked_locations: _Optional[_Union[Limit, _Mapping]] = ..., layoutid: _Optional[int] = ..., flags: _Optional[int] = ..., symlink: _Optional[bool] = ..., checksum: _Optional[_Union[Checksum, _Mapping]] = ..., owner: _Optional[int] = ..., group: _Optional[int] = ..., owner_root: _Optional[bool] = ..., group_root: _Optional[bool] = ..., regexp_filename: _Optional[bytes] = ..., regexp_dirname: _Optional[bytes] = ..., xattr: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class MDRequest(_message.Message):
    __slots__ = ("type", "id", "authkey", "role", "selection")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    AUTHKEY_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    type: TYPE
    id: MDId
    authkey: str
    role: RoleId
    selection: MDSelection
    def __init__(self, type: _Optional[_Union[TYPE, str]] = ..., id: _Optional[_Union[MDId, _Mapping]] = ..., authkey: _Optional[str] = ..., role: _Optional[_Union[RoleId, _Mapping]] = ..., selection: _Optional[_Union[MDSelection, _Mapping]] = ...) -> None: ...

class MDResponse(_message.Message):
    __slots__ = ("type", "fmd", "cmd")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FMD_FIELD_NUMBER: _ClassVar[int]
    CMD_FIELD_NUMBER: _ClassVar[int]
    type: TYPE
    fmd: FileMdProto
    cmd: ContainerMdProto
    def __init__(self, type: _Optional[_Union[TYPE, str]] = ..., fmd: _Optional[_Union[FileMdProto, _Mapping]] = ..., cmd: _Optional[_Union[ContainerMdProto, _Mapping]] = ...) -> None: ...

class FindRequest(_message.Message):
    __slots__ = ("type", "id", "role", "authkey", "maxdepth", "selection")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    AUTHKEY_FIELD_NUMBER: _ClassVar[int]
    MAXDEPTH_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    type: TYPE
    id: MDId
    role: RoleId
    authkey: str
    maxdepth: int
    selection: MDSelection
    def __init__(self, type: _Optional[_Union[TYPE, str]] = ..., id: _Optional[_Union[MDId, _Mapping]] = ..., role: _Optional[_Union[RoleId, _Mapping]] = ..., authkey: _Optional[str] = ..., maxdepth: _Optional[int] = ..., selection: _Optional[_Union[MDSelection, _Mapping]] = ...) -> None: ...

class ContainerInsertRequest(_message.Message):
    __slots__ = ("container", "authkey", "inherit_md")
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    AUTHKEY_FIELD_NUMBER: _ClassVar[int]
    INHERIT_MD_FIELD_NUMBER: _ClassVar[int]
    container: _containers.RepeatedCompositeFieldContainer[ContainerMdProto]
    authkey: str
    inherit_md: bool
    def __init__(self, container: _Optional[_Iterable[_Union[ContainerMdProto, _Mapping]]] = ..., authkey: _Optional[str] = ..., inherit_md: _Optional[bool] = ...) -> None: ...

class FileInsertRequest(_message.Message):
    __slots__ = ("files", "authkey")
    FILES_FIELD_NUMBER: _ClassVar[int]
    AUTHKEY_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[FileMdProto]
    authkey: str
    def __init__(self, files: _Optional[_Iterable[_Union[FileMdProto, _Mapping]]] = ..., authkey: _Optional[str] = ...) -> None: ...

class InsertReply(_message.Message):
    __slots__ = ("message", "retc")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETC_FIELD_NUMBER: _ClassVar[int]
    message: _containers.RepeatedScalarFieldContainer[str]
    retc: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, message: _Optional[_Iterable[str]] = ..., retc: _Optional[_Iterable[int]] = ...) -> None: ...

class NsStatRequest(_message.Message):
    __slots__ = ("authkey",)
    AUTHKEY_FIELD_NUMBER: _ClassVar[int]
    authkey: str
    def __init__(self, authkey: _Optional[str] = ...) -> None: ...

class NsStatResponse(_message.Message):
    __slots__ = ("code", "emsg", "state", "nfiles", "ncontainers", "boot_time", "current_fid", "current_cid", "mem_virtual", "mem_resident", "mem_share", "mem_growth", "threads", "fds", "uptime")
    CODE_FIELD_NUMBER: _ClassVar[int]
    EMSG_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NFILES_FIELD_NUMBER: _ClassVar[int]
    NCONTAINERS_FIELD_NUMBER: _ClassVar[int]
    BOOT_TIME_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FID_FIELD_NUMBER: _ClassVar[int]
    CURRENT_CID_FIELD_NUMBER: _ClassVar[int]
    MEM_VIRTUAL_FIELD_NUMBER: _ClassVar[int]
    MEM_RESIDENT_FIELD_NUMBER: _ClassVar[int]
    MEM_SHARE_FIELD_NUMBER: _ClassVar[int]
    MEM_GROWTH_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    FDS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    code: int
    emsg: str
    state: str
    nfiles: int
    ncontainers: int
    boot_time: int
    current_fid: int
    current_cid: int
    mem_virtual: int
    mem_resident: int
    mem_share: int
    mem_growth: int
    threads: int
    fds: int
    uptime: int
    def __init__(self, code: _Optional[int] = ..., emsg: _Optional[str] = ..., state: _Optional[str] = ..., nfiles: _Optional[int] = ..., ncontainers: _Optional[int] = ..., boot_time: _Optional[int] = ..., current_fid: _Optional[int] = ..., current_cid: _Optional[int] = ..., mem_virtual: _Optional[int] = ..., mem_resident: _Optional[int] = ..., mem_share: _Optional[int] = ..., mem_growth: _Optional[int] = ..., threads: _Optional[int] = ..., fds: _Optional[int] = ..., uptime: _Optional[int] = ...) -> None: ...

class QuotaProto(_message.Message):
    __slots__ = ("path", "name", "type", "usedbytes", "usedlogicalbytes", "usedfiles", "maxbytes", "maxlogicalbytes", "maxfiles", "percentageusedbytes", "percentageusedfiles", "statusbytes", "statusfiles")
    PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    USEDBYTES_FIELD_NUMBER: _ClassVar[int]
    USEDLOGICALBYTES_FIELD_NUMBER: _ClassVar[int]
    USEDFILES_FIELD_NUMBER: _ClassVar[int]
    MAXBYTES_FIELD_NUMBER: _ClassVar[int]
    MAXLOGICALBYTES_FIELD_NUMBER: _ClassVar[int]
    MAXFILES_FIELD_NUMBER: _ClassVar[int]
    PERCENTAGEUSEDBYTES_FIELD_NUMBER: _ClassVar[int]
    PERCENTAGEUSEDFILES_FIELD_NUMBER: _ClassVar[int]
    STATUSBYTES_FIELD_NUMBER: _ClassVar[int]
    STATUSFILES_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    name: str
    type: QUOTATYPE
    usedbytes: int
    usedlogicalbytes: int
    usedfiles: int
    maxbytes: int
    maxlogicalbytes: int
    maxfiles: int
    percentageusedbytes: float
    percentageusedfiles: float
    statusbytes: str
    statusfiles: str
    def __init__(self, path: _Optional[bytes] = ..., name: _Optional[str] = ..., type: _Optional[_Union[QUOTATYPE, str]] = ..., usedbytes: _Optional[int] = ..., usedlogicalbytes: _Optional[int] = ..., usedfiles: _Optional[int] = ..., maxbytes: _Optional[int] = ..., maxlogicalbytes: _Optional[int] = ..., maxfiles: _Optional[int] = ..., percentageusedbytes: _Optional[float] = ..., percentageusedfiles: _Optional[float] = ..., statusbytes: _Optional[str] = ..., statusfiles: _Optional[str] = ...) -> None: ...

class ShareAuth(_message.Message):
    __slots__ = ("prot", "name", "host")
    PROT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    prot: str
    name: str
    host: str
    def __init__(self, prot: _Optional[str] = ..., name: _Optional[str] = ..., host: _Optional[str] = ...) -> None: ...

class ShareProto(_message.Message):
    __slots__ = ("permission", "expires", "owner", "group", "generation", "path", "allowtree", "vtoken", "origins")
    PERMISSION_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    ALLOWTREE_FIELD_NUMBER: _ClassVar[int]
    VTOKEN_FIELD_NUMBER: _ClassVar[int]
    ORIGINS_FIELD_NUMBER: _ClassVar[int]
    permission: str
    expires: int
    owner: str
    group: str
    generation: int
    path: str
    allowtree: bool
    vtoken: str
    origins: _containers.RepeatedCompositeFieldContainer[ShareAuth]
    def __init__(self, permission: _Optional[str] = ..., expires: _Optional[int] = ..., owner: _Optional[str] = ..., group: _Optional[str] = ..., generation: _Optional[int] = ..., path: _Optional[str] = ..., allowtree: _Optional[bool] = ..., vtoken: _Optional[str] = ..., origins: _Optional[_Iterable[_Union[ShareAuth, _Mapping]]] = ...) -> None: ...

class ShareToken(_message.Message):
    __slots__ = ("token", "signature", "serialized", "seed")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SERIALIZED_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    token: ShareProto
    signature: bytes
    serialized: bytes
    seed: int
    def __init__(self, token: _Optional[_Union[ShareProto, _Mapping]] = ..., signature: _Optional[bytes] = ..., serialized: _Optional[bytes] = ..., seed: _Optional[int] = ...) -> None: ...

class NSRequest(_message.Message):
    __slots__ = ("authkey", "role", "mkdir", "rmdir", "touch", "unlink", "rm", "rename", "symlink", "version", "old_recycle", "xattr", "chown", "chmod", "acl", "token", "quota", "share", "recycle", "file")
    class MkdirRequest(_message.Message):
        __slots__ = ("id", "recursive", "mode")
        ID_FIELD_NUMBER: _ClassVar[int]
        RECURSIVE_FIELD_NUMBER: _ClassVar[int]
        MODE_FIELD_NUMBER: _ClassVar[int]
        id: MDId
        recursive: bool
        mode: int
        def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ..., recursive: _Optional[bool] = ..., mode: _Optional[int] = ...) -> None: ...
    class RmdirRequest(_message.Message):
        __slots__ = ("id",)
        ID_FIELD_NUMBER: _ClassVar[int]
        id: MDId
        def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ...) -> None: ...
    class TouchRequest(_message.Message):
        __slots__ = ("id",)
        ID_FIELD_NUMBER: _ClassVar[int]
        id: MDId
        def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ...) -> None: ...
    class UnlinkRequest(_message.Message):
        __slots__ = ("id", "norecycle")
        ID_FIELD_NUMBER: _ClassVar[int]
        NORECYCLE_FIELD_NUMBER: _ClassVar[int]
        id: MDId
        norecycle: bool
        def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ..., norecycle: _Optional[bool] = ...) -> None: ...
    class RmRequest(_message.Message):
        __slots__ = ("id", "recursive", "norecycle", "noglobbing")
        ID_FIELD_NUMBER: _ClassVar[int]
        RECURSIVE_FIELD_NUMBER: _ClassVar[int]
        NORECYCLE_FIELD_NUMBER: _ClassVar[int]
        NOGLOBBING_FIELD_NUMBER: _ClassVar[int]
        id: MDId
        recursive: bool
        norecycle: bool
        noglobbing: bool
        def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ..., recursive: _Optional[bool] = ..., norecycle: _Optional[bool] = ..., noglobbing: _Optional[bool] = ...) -> None: ...
    class RenameRequest(_message.Message):
        __slots__ = ("id", "target")
        ID_FIELD_NUMBER: _ClassVar[int]
        TARGET_FIELD_NUMBER: _ClassVar[int]
        id: MDId
        target: bytes
        def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ..., target: _Optional[bytes] = ...) -> None: ...
    class SymlinkRequest(_message.Message):
        __slots__ = ("id", "target")
        ID_FIELD_NUMBER: _ClassVar[int]
        TARGET_FIELD_NUMBER: _ClassVar[int]
        id: MDId
        target: bytes
        def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ..., target: _Optional[bytes] = ...) -> None: ...
    class VersionRequest(_message.Message):
        __slots__ = ("id", "cmd", "maxversion", "grabversion")
        class VERSION_CMD(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            CREATE: _ClassVar[NSRequest.VersionRequest.VERSION_CMD]
            PURGE: _ClassVar[NSRequest.VersionRequest.VERSION_CMD]
            LIST: _ClassVar[NSRequest.VersionRequest.VERSION_CMD]
            GRAB: _ClassVar[NSRequest.VersionRequest.VERSION_CMD]
            CREATE_FOLDER: _ClassVar[NSRequest.VersionRequest.VERSION_CMD]
        CREATE: NSRequest.VersionRequest.VERSION_CMD
        PURGE: NSRequest.VersionRequest.VERSION_CMD
        LIST: NSRequest.VersionRequest.VERSION_CMD
        GRAB: NSRequest.VersionRequest.VERSION_CMD
        CREATE_FOLDER: NSRequest.VersionRequest.VERSION_CMD
        ID_FIELD_NUMBER: _ClassVar[int]
        CMD_FIELD_NUMBER: _ClassVar[int]
        MAXVERSION_FIELD_NUMBER: _ClassVar[int]
        GRABVERSION_FIELD_NUMBER: _ClassVar[int]
        id: MDId
        cmd: NSRequest.VersionRequest.VERSION_CMD
        maxversion: int
        grabversion: str
        def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ..., cmd: _Optional[_Union[NSRequest.VersionRequest.VERSION_CMD, str]] = ..., maxversion: _Optional[int] = ..., grabversion: _Optional[str] = ...) -> None: ...
    class RecycleRequest(_message.Message):
        __slots__ = ("key", "recycleId", "cmd", "restoreflag", "purgedate", "listflag")
        class RECYCLE_CMD(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            RESTORE: _ClassVar[NSRequest.RecycleRequest.RECYCLE_CMD]
            PURGE: _ClassVar[NSRequest.RecycleRequest.RECYCLE_CMD]
            LIST: _ClassVar[NSRequest.RecycleRequest.RECYCLE_CMD]
        RESTORE: NSRequest.RecycleRequest.RECYCLE_CMD
        PURGE: NSRequest.RecycleRequest.RECYCLE_CMD
        LIST: NSRequest.RecycleRequest.RECYCLE_CMD
        class DISPLAY_TYPE(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            UID: _ClassVar[NSRequest.RecycleRequest.DISPLAY_TYPE]
            RID: _ClassVar[NSRequest.RecycleRequest.DISPLAY_TYPE]
            ALL: _ClassVar[NSRequest.RecycleRequest.DISPLAY_TYPE]
        UID: NSRequest.RecycleRequest.DISPLAY_TYPE
        RID: NSRequest.RecycleRequest.DISPLAY_TYPE
        ALL: NSRequest.RecycleRequest.DISPLAY_TYPE
        class RestoreFlags(_message.Message):
            __slots__ = ("force", "mkpath", "versions")
            FORCE_FIELD_NUMBER: _ClassVar[int]
            MKPATH_FIELD_NUMBER: _ClassVar[int]
            VERSIONS_FIELD_NUMBER: _ClassVar[int]
            force: bool
            mkpath: bool
            versions: bool
            def __init__(self, force: _Optional[bool] = ..., mkpath: _Optional[bool] = ..., versions: _Optional[bool] = ...) -> None: ...
        class PurgeDate(_message.Message):
            __slots__ = ("year", "month", "day")
            YEAR_FIELD_NUMBER: _ClassVar[int]
            MONTH_FIELD_NUMBER: _ClassVar[int]
            DAY_FIELD_NUMBER: _ClassVar[int]
            year: int
            month: int
            day: int
            def __init__(self, year: _Optional[int] = ..., month: _Optional[int] = ..., day: _Optional[int] = ...) -> None: ...
        class ListFlags(_message.Message):
            __slots__ = ("maxentries", "year", "month", "day", "index", "display", "display_val")
            MAXENTRIES_FIELD_NUMBER: _ClassVar[int]
            YEAR_FIELD_NUMBER: _ClassVar[int]
            MONTH_FIELD_NUMBER: _ClassVar[int]
            DAY_FIELD_NUMBER: _ClassVar[int]
            INDEX_FIELD_NUMBER: _ClassVar[int]
            DISPLAY_FIELD_NUMBER: _ClassVar[int]
            DISPLAY_VAL_FIELD_NUMBER: _ClassVar[int]
            maxentries: int
            year: int
            month: int
            day: int
            index: int
            display: NSRequest.RecycleRequest.DISPLAY_TYPE
            display_val: str
            def __init__(self, maxentries: _Optional[int] = ..., year: _Optional[int] = ..., month: _Optional[int] = ..., day: _Optional[int] = ..., index: _Optional[int] = ..., display: _Optional[_Union[NSRequest.RecycleRequest.DISPLAY_TYPE, str]] = ..., display_val: _Optional[str] = ...) -> None: ...
        KEY_FIELD_NUMBER: _ClassVar[int]
        RECYCLEID_FIELD_NUMBER: _ClassVar[int]
        CMD_FIELD_NUMBER: _ClassVar[int]
        RESTOREFLAG_FIELD_NUMBER: _ClassVar[int]
        PURGEDATE_FIELD_NUMBER: _ClassVar[int]
        LISTFLAG_FIELD_NUMBER: _ClassVar[int]
        key: str
        recycleId: str
        cmd: NSRequest.RecycleRequest.RECYCLE_CMD
        restoreflag: NSRequest.RecycleRequest.RestoreFlags
        purgedate: NSRequest.RecycleRequest.PurgeDate
        listflag: NSRequest.RecycleRequest.ListFlags
        def __init__(self, key: _Optional[str] = ..., recycleId: _Optional[str] = ..., cmd: _Optional[_Union[NSRequest.RecycleRequest.RECYCLE_CMD, str]] = ..., restoreflag: _Optional[_Union[NSRequest.RecycleRequest.RestoreFlags, _Mapping]] = ..., purgedate: _Optional[_Union[NSRequest.RecycleRequest.PurgeDate, _Mapping]] = ..., listflag: _Optional[_Union[NSRequest.RecycleRequest.ListFlags, _Mapping]] = ...) -> None: ...
    class SetXAttrRequest(_message.Message):
        __slots__ = ("id", "xattrs", "recursive", "keystodelete", "create")
        class XattrsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: bytes
            def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
        ID_FIELD_NUMBER: _ClassVar[int]
        XATTRS_FIELD_NUMBER: _ClassVar[int]
        RECURSIVE_FIELD_NUMBER: _ClassVar[int]
        KEYSTODELETE_FIELD_NUMBER: _ClassVar[int]
        CREATE_FIELD_NUMBER: _ClassVar[int]
        id: MDId
        xattrs: _containers.ScalarMap[str, bytes]
        recursive: bool
        keystodelete: _containers.RepeatedScalarFieldContainer[str]
        create: bool
        def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ..., xattrs: _Optional[_Mapping[str, bytes]] = ..., recursive: _Optional[bool] = ..., keystodelete: _Optional[_Iterable[str]] = ..., create: _Optional[bool] = ...) -> None: ...
    class ChownRequest(_message.Message):
        __slots__ = ("id", "owner")
        ID_FIELD_NUMBER: _ClassVar[int]
        OWNER_FIELD_NUMBER: _ClassVar[int]
        id: MDId
        owner: RoleId
        def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ..., owner: _Optional[_Union[RoleId, _Mapping]] = ...) -> None: ...
    class ChmodRequest(_message.Message):
        __slots__ = ("id", "mode")
        ID_FIELD_NUMBER: _ClassVar[int]
        MODE_FIELD_NUMBER: _ClassVar[int]
        id: MDId
        mode: int
        def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ..., mode: _Optional[int] = ...) -> None: ...
    class AclRequest(_message.Message):
        __slots__ = ("id", "cmd", "recursive", "type", "rule", "position", "sync_write")
        class ACL_COMMAND(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            NONE: _ClassVar[NSRequest.AclRequest.ACL_COMMAND]
            MODIFY: _ClassVar[NSRequest.AclRequest.ACL_COMMAND]
            LIST: _ClassVar[NSRequest.AclRequest.ACL_COMMAND]
        NONE: NSRequest.AclRequest.ACL_COMMAND
        MODIFY: NSRequest.AclRequest.ACL_COMMAND
        LIST: NSRequest.AclRequest.ACL_COMMAND
        class ACL_TYPE(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            USER_ACL: _ClassVar[NSRequest.AclRequest.ACL_TYPE]
            SYS_ACL: _ClassVar[NSRequest.AclRequest.ACL_TYPE]
        USER_ACL: NSRequest.AclRequest.ACL_TYPE
        SYS_ACL: NSRequest.AclRequest.ACL_TYPE
        ID_FIELD_NUMBER: _ClassVar[int]
        CMD_FIELD_NUMBER: _ClassVar[int]
        RECURSIVE_FIELD_NUMBER: _ClassVar[int]
        TYPE_FIELD_NUMBER: _ClassVar[int]
        RULE_FIELD_NUMBER: _ClassVar[int]
        POSITION_FIELD_NUMBER: _ClassVar[int]
        SYNC_WRITE_FIELD_NUMBER: _ClassVar[int]
        id: MDId
        cmd: NSRequest.AclRequest.ACL_COMMAND
        recursive: bool
        type: NSRequest.AclRequest.ACL_TYPE
        rule: str
        position: int
        sync_write: bool
        def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ..., cmd: _Optional[_Union[NSRequest.AclRequest.ACL_COMMAND, str]] = ..., recursive: _Optional[bool] = ..., type: _Optional[_Union[NSRequest.AclRequest.ACL_TYPE, str]] = ..., rule: _Optional[str] = ..., position: _Optional[int] = ..., sync_write: _Optional[bool] = ...) -> None: ...
    class TokenRequest(_message.Message):
        __slots__ = ("token",)
        TOKEN_FIELD_NUMBER: _ClassVar[int]
        token: ShareToken
        def __init__(self, token: _Optional[_Union[ShareToken, _Mapping]] = ...) -> None: ...
    class QuotaRequest(_message.Message):
        __slots__ = ("path", "id", "op", "maxfiles", "maxbytes", "entry")
        PATH_FIELD_NUMBER: _ClassVar[int]
        ID_FIELD_NUMBER: _ClassVar[int]
        OP_FIELD_NUMBER: _ClassVar[int]
        MAXFILES_FIELD_NUMBER: _ClassVar[int]
        MAXBYTES_FIELD_NUMBER: _ClassVar[int]
        ENTRY_FIELD_NUMBER: _ClassVar[int]
        path: bytes
        id: RoleId
        op: QUOTAOP
        maxfiles: int
        maxbytes: int
        entry: QUOTAENTRY
        def __init__(self, path: _Optional[bytes] = ..., id: _Optional[_Union[RoleId, _Mapping]] = ..., op: _Optional[_Union[QUOTAOP, str]] = ..., maxfiles: _Optional[int] = ..., maxbytes: _Optional[int] = ..., entry: _Optional[_Union[QUOTAENTRY, str]] = ...) -> None: ...
    class ShareRequest(_message.Message):
        __slots__ = ("ls", "op")
        class LsShare(_message.Message):
            __slots__ = ("outformat", "selection")
            class OutFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
                __slots__ = ()
                NONE: _ClassVar[NSRequest.ShareRequest.LsShare.OutFormat]
                MONITORING: _ClassVar[NSRequest.ShareRequest.LsShare.OutFormat]
                LISTING: _ClassVar[NSRequest.ShareRequest.LsShare.OutFormat]
                JSON: _ClassVar[NSRequest.ShareRequest.LsShare.OutFormat]
            NONE: NSRequest.ShareRequest.LsShare.OutFormat
            MONITORING: NSRequest.ShareRequest.LsShare.OutFormat
            LISTING: NSRequest.ShareRequest.LsShare.OutFormat
            JSON: NSRequest.ShareRequest.LsShare.OutFormat
            OUTFORMAT_FIELD_NUMBER: _ClassVar[int]
            SELECTION_FIELD_NUMBER: _ClassVar[int]
            outformat: NSRequest.ShareRequest.LsShare.OutFormat
            selection: str
            def __init__(self, outformat: _Optional[_Union[NSRequest.ShareRequest.LsShare.OutFormat, str]] = ..., selection: _Optional[str] = ...) -> None: ...
        class OperateShare(_message.Message):
            __slots__ = ("op", "share", "acl", "path", "user", "group")
            class Op(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
                __slots__ = ()
                CREATE: _ClassVar[NSRequest.ShareRequest.OperateShare.Op]
                REMOVE: _ClassVar[NSRequest.ShareRequest.OperateShare.Op]
                SHARE: _ClassVar[NSRequest.ShareRequest.OperateShare.Op]
                UNSHARE: _ClassVar[NSRequest.ShareRequest.OperateShare.Op]
                ACCESS: _ClassVar[NSRequest.ShareRequest.OperateShare.Op]
                MODIFY: _ClassVar[NSRequest.ShareRequest.OperateShare.Op]
            CREATE: NSRequest.ShareRequest.OperateShare.Op
            REMOVE: NSRequest.ShareRequest.OperateShare.Op
            SHARE: NSRequest.ShareRequest.OperateShare.Op
            UNSHARE: NSRequest.ShareRequest.OperateShare.Op
            ACCESS: NSRequest.ShareRequest.OperateShare.Op
            MODIFY: NSRequest.ShareRequest.OperateShare.Op
            OP_FIELD_NUMBER: _ClassVar[int]
            SHARE_FIELD_NUMBER: _ClassVar[int]
            ACL_FIELD_NUMBER: _ClassVar[int]
            PATH_FIELD_NUMBER: _ClassVar[int]
            USER_FIELD_NUMBER: _ClassVar[int]
            GROUP_FIELD_NUMBER: _ClassVar[int]
            op: NSRequest.ShareRequest.OperateShare.Op
            share: str
            acl: str
            path: str
            user: str
            group: str
            def __init__(self, op: _Optional[_Union[NSRequest.ShareRequest.OperateShare.Op, str]] = ..., share: _Optional[str] = ..., acl: _Optional[str] = ..., path: _Optional[str] = ..., user: _Optional[str] = ..., group: _Optional[str] = ...) -> None: ...
        LS_FIELD_NUMBER: _ClassVar[int]
        OP_FIELD_NUMBER: _ClassVar[int]
        ls: NSRequest.ShareRequest.LsShare
        op: NSRequest.ShareRequest.OperateShare
        def __init__(self, ls: _Optional[_Union[NSRequest.ShareRequest.LsShare, _Mapping]] = ..., op: _Optional[_Union[NSRequest.ShareRequest.OperateShare, _Mapping]] = ...) -> None: ...
    AUTHKEY_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    MKDIR_FIELD_NUMBER: _ClassVar[int]
    RMDIR_FIELD_NUMBER: _ClassVar[int]
    TOUCH_FIELD_NUMBER: _ClassVar[int]
    UNLINK_FIELD_NUMBER: _ClassVar[int]
    RM_FIELD_NUMBER: _ClassVar[int]
    RENAME_FIELD_NUMBER: _ClassVar[int]
    SYMLINK_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OLD_RECYCLE_FIELD_NUMBER: _ClassVar[int]
    XATTR_FIELD_NUMBER: _ClassVar[int]
    CHOWN_FIELD_NUMBER: _ClassVar[int]
    CHMOD_FIELD_NUMBER: _ClassVar[int]
    ACL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    RECYCLE_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    authkey: str
    role: RoleId
    mkdir: NSRequest.MkdirRequest
    rmdir: NSRequest.RmdirRequest
    touch: NSRequest.TouchRequest
    unlink: NSRequest.UnlinkRequest
    rm: NSRequest.RmRequest
    rename: NSRequest.RenameRequest
    symlink: NSRequest.SymlinkRequest
    version: NSRequest.VersionRequest
    old_recycle: NSRequest.RecycleRequest
    xattr: NSRequest.SetXAttrRequest
    chown: NSRequest.ChownRequest
    chmod: NSRequest.ChmodRequest
    acl: NSRequest.AclRequest
    token: NSRequest.TokenRequest
    quota: NSRequest.QuotaRequest
    share: NSRequest.ShareRequest
    recycle: _console_pb2.RecycleProto
    file: _console_pb2.FileProto
    def __init__(self, authkey: _Optional[str] = ..., role: _Optional[_Union[RoleId, _Mapping]] = ..., mkdir: _Optional[_Union[NSRequest.MkdirRequest, _Mapping]] = ..., rmdir: _Optional[_Union[NSRequest.RmdirRequest, _Mapping]] = ..., touch: _Optional[_Union[NSRequest.TouchRequest, _Mapping]] = ..., unlink: _Optional[_Union[NSRequest.UnlinkRequest, _Mapping]] = ..., rm: _Optional[_Union[NSRequest.RmRequest, _Mapping]] = ..., rename: _Optional[_Union[NSRequest.RenameRequest, _Mapping]] = ..., symlink: _Optional[_Union[NSRequest.SymlinkRequest, _Mapping]] = ..., version: _Optional[_Union[NSRequest.VersionRequest, _Mapping]] = ..., old_recycle: _Optional[_Union[NSRequest.RecycleRequest, _Mapping]] = ..., xattr: _Optional[_Union[NSRequest.SetXAttrRequest, _Mapping]] = ..., chown: _Optional[_Union[NSRequest.ChownRequest, _Mapping]] = ..., chmod: _Optional[_Union[NSRequest.ChmodRequest, _Mapping]] = ..., acl: _Optional[_Union[NSRequest.AclRequest, _Mapping]] = ..., token: _Optional[_Union[NSRequest.TokenRequest, _Mapping]] = ..., quota: _Optional[_Union[NSRequest.QuotaRequest, _Mapping]] = ..., share: _Optional[_Union[NSRequest.ShareRequest, _Mapping]] = ..., recycle: _Optional[_Union[_console_pb2.RecycleProto, _Mapping]] = ..., file: _Optional[_Union[_console_pb2.FileProto, _Mapping]] = ...) -> None: ...

class NSResponse(_message.Message):
    __slots__ = ("error", "version", "recycle", "acl", "quota", "share", "file")
    class ErrorResponse(_message.Message):
        __slots__ = ("code", "msg")
        CODE_FIELD_NUMBER: _ClassVar[int]
        MSG_FIELD_NUMBER: _ClassVar[int]
        code: int
        msg: str
        def __init__(self, code: _Optional[int] = ..., msg: _Optional[str] = ...) -> None: ...
    class VersionResponse(_message.Message):
        __slots__ = ("code", "msg", "versions")
        class VersionInfo(_message.Message):
            __slots__ = ("id", "mtime")
            ID_FIELD_NUMBER: _ClassVar[int]
            MTIME_FIELD_NUMBER: _ClassVar[int]
            id: MDId
            mtime: Time
            def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ..., mtime: _Optional[_Union[Time, _Mapping]] = ...) -> None: ...
        CODE_FIELD_NUMBER: _ClassVar[int]
        MSG_FIELD_NUMBER: _ClassVar[int]
        VERSIONS_FIELD_NUMBER: _ClassVar[int]
        code: int
        msg: str
        versions: _containers.RepeatedCompositeFieldContainer[NSResponse.VersionResponse.VersionInfo]
        def __init__(self, code: _Optional[int] = ..., msg: _Optional[str] = ..., versions: _Optional[_Iterable[_Union[NSResponse.VersionResponse.VersionInfo, _Mapping]]] = ...) -> None: ...
    class RecycleResponse(_message.Message):
        __slots__ = ("code", "msg", "recycles")
        class RecycleInfo(_message.Message):
            __slots__ = ("id", "owner", "dtime", "size", "type", "key")
            class DELETIONTYPE(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
                __slots__ = ()
                FILE: _ClassVar[NSResponse.RecycleResponse.RecycleInfo.DELETIONTYPE]
                TREE: _ClassVar[NSResponse.RecycleResponse.RecycleInfo.DELETIONTYPE]
            FILE: NSResponse.RecycleResponse.RecycleInfo.DELETIONTYPE
            TREE: NSResponse.RecycleResponse.RecycleInfo.DELETIONTYPE
            ID_FIELD_NUMBER: _ClassVar[int]
            OWNER_FIELD_NUMBER: _ClassVar[int]
            DTIME_FIELD_NUMBER: _ClassVar[int]
            SIZE_FIELD_NUMBER: _ClassVar[int]
            TYPE_FIELD_NUMBER: _ClassVar[int]
            KEY_FIELD_NUMBER: _ClassVar[int]
            id: MDId
            owner: RoleId
            dtime: Time
            size: int
            type: NSResponse.RecycleResponse.RecycleInfo.DELETIONTYPE
            key: str
            def __init__(self, id: _Optional[_Union[MDId, _Mapping]] = ..., owner: _Optional[_Union[RoleId, _Mapping]] = ..., dtime: _Optional[_Union[Time, _Mapping]] = ..., size: _Optional[int] = ..., type: _Optional[_Union[NSResponse.RecycleResponse.RecycleInfo.DELETIONTYPE, str]] = ..., key: _Optional[str] = ...) -> None: ...
        CODE_FIELD_NUMBER: _ClassVar[int]
        MSG_FIELD_NUMBER: _ClassVar[int]
        RECYCLES_FIELD_NUMBER: _ClassVar[int]
        code: int
        msg: str
        recycles: _containers.RepeatedCompositeFieldContainer[NSResponse.RecycleResponse.RecycleInfo]
        def __init__(self, code: _Optional[int] = ..., msg: _Optional[str] = ..., recycles: _Optional[_Iterable[_Union[NSResponse.RecycleResponse.RecycleInfo, _Mapping]]] = ...) -> None: ...
    class AclResponse(_message.Message):
        __slots__ = ("code", "msg", "rule")
        CODE_FIELD_NUMBER: _ClassVar[int]
        MSG_FIELD_NUMBER: _ClassVar[int]
        RULE_FIELD_NUMBER: _ClassVar[int]
        code: int
        msg: str
        rule: str
        def __init__(self, code: _Optional[int] = ..., msg: _Optional[str] = ..., rule: _Optional[str] = ...) -> None: ...
    class QuotaResponse(_message.Message):
        __slots__ = ("code", "msg", "quotanode")
        CODE_FIELD_NUMBER: _ClassVar[int]
        MSG_FIELD_NUMBER: _ClassVar[int]
        QUOTANODE_FIELD_NUMBER: _ClassVar[int]
        code: int
        msg: str
        quotanode: _containers.RepeatedCompositeFieldContainer[QuotaProto]
        def __init__(self, code: _Optional[int] = ..., msg: _Optional[str] = ..., quotanode: _Optional[_Iterable[_Union[QuotaProto, _Mapping]]] = ...) -> None: ...
    class ShareResponse(_message.Message):
        __slots__ = ("code", "msg", "shares", "access")
        class ShareInfo(_message.Message):
            __slots__ = ("name", "root", "rule", "uid", "nshared")
            NAME_FIELD_NUMBER: _ClassVar[int]
            ROOT_FIELD_NUMBER: _ClassVar[int]
            RULE_FIELD_NUMBER: _ClassVar[int]
            UID_FIELD_NUMBER: _ClassVar[int]
            NSHARED_FIELD_NUMBER: _ClassVar[int]
            name: str
            root: str
            rule: str
            uid: int
            nshared: int
            def __init__(self, name: _Optional[str] = ..., root: _Optional[str] = ..., rule: _Optional[str] = ..., uid: _Optional[int] = ..., nshared: _Optional[int] = ...) -> None: ...
        class ShareAccess(_message.Message):
            __slots__ = ("name", "granted")
            NAME_FIELD_NUMBER: _ClassVar[int]
            GRANTED_FIELD_NUMBER: _ClassVar[int]
            name: str
            granted: bool
            def __init__(self, name: _Optional[str] = ..., granted: _Optional[bool] = ...) -> None: ...
        CODE_FIELD_NUMBER: _ClassVar[int]
        MSG_FIELD_NUMBER: _ClassVar[int]
        SHARES_FIELD_NUMBER: _ClassVar[int]
        ACCESS_FIELD_NUMBER: _ClassVar[int]
        code: int
        msg: str
        shares: _containers.RepeatedCompositeFieldContainer[NSResponse.ShareResponse.ShareInfo]
        access: _containers.RepeatedCompositeFieldContainer[NSResponse.ShareResponse.ShareAccess]
        def __init__(self, code: _Optional[int] = ..., msg: _Optional[str] = ..., shares: _Optional[_Iterable[_Union[NSResponse.ShareResponse.ShareInfo, _Mapping]]] = ..., access: _Optional[_Iterable[_Union[NSResponse.ShareResponse.ShareAccess, _Mapping]]] = ...) -> None: ...
    class FileResponse(_message.Message):
        __slots__ = ("code", "msg")
        CODE_FIELD_NUMBER: _ClassVar[int]
        MSG_FIELD_NUMBER: _ClassVar[int]
        code: int
        msg: str
        def __init__(self, code: _Optional[int] = ..., msg: _Optional[str] = ...) -> None: ...
    ERROR_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RECYCLE_FIELD_NUMBER: _ClassVar[int]
    ACL_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    error: NSResponse.ErrorResponse
    version: NSResponse.VersionResponse
    recycle: NSResponse.RecycleResponse
    acl: NSResponse.AclResponse
    quota: NSResponse.QuotaResponse
    share: NSResponse.ShareResponse
    file: NSResponse.FileResponse
    def __init__(self, error: _Optional[_Union[NSResponse.ErrorResponse, _Mapping]] = ..., version: _Optional[_Union[NSResponse.VersionResponse, _Mapping]] = ..., recycle: _Optional[_Union[NSResponse.RecycleResponse, _Mapping]] = ..., acl: _Optional[_Union[NSResponse.AclResponse, _Mapping]] = ..., quota: _Optional[_Union[NSResponse.QuotaResponse, _Mapping]] = ..., share: _Optional[_Union[NSResponse.ShareResponse, _Mapping]] = ..., file: _Optional[_Union[NSResponse.FileResponse, _Mapping]] = ...) -> None: ...
