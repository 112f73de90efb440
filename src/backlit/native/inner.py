"""Loops over the slots of tensors: `core/inner.py` in machine code."""

from __future__ import annotations

from backlit.core.inner import Inner, inner
from backlit.core.tensor import Extra, Tensor
from backlit.native.machine import jit, layout
from backlit.native.machine.builtin import builtin, interpreter
from backlit.native.machine.layout import slot_offset
from backlit.native.machine.once import once
from backlit.native.machine.words import loads

_IMPORTS = (
    "PyList_Append", "PyList_GetItem", "PyList_New", "PyList_SetSlice", "PyList_Size",
    "PyLong_AsLongLong", "PyLong_FromLongLong", "PySequence_GetItem", "PyType_GenericAlloc",
    "PyType_IsSubtype", "Py_DecRef", "Py_IncRef",
)  # fmt: skip

_SLOTS = ((Tensor, "_data _era _var _x"), (Extra, "edge exported version views"))

# What is read of a slot is borrowed from it; put(object, offset, new) takes a reference to new.
_CODE = """
@none = external global i8
@false = external global i8
@tensor = external global i8

declare i32 @PyList_Append(ptr, ptr)
declare ptr @PyList_GetItem(ptr, i64)
declare ptr @PyList_New(i64)
declare i32 @PyList_SetSlice(ptr, i64, i64, ptr)
declare i64 @PyList_Size(ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare ptr @PySequence_GetItem(ptr, i64)
declare ptr @PyType_GenericAlloc(ptr, i64)
declare i32 @PyType_IsSubtype(ptr, ptr)
declare void @Py_DecRef(ptr)
declare void @Py_IncRef(ptr)

define internal ptr @slot(ptr %object, i64 %offset) alwaysinline {{
  %at = getelementptr i8, ptr %object, i64 %offset
  %held = load ptr, ptr %at
  ret ptr %held
}}

define internal void @put(ptr %object, i64 %offset, ptr %new) alwaysinline {{
  %at = getelementptr i8, ptr %object, i64 %offset
  %old = load ptr, ptr %at
  store ptr %new, ptr %at
  call void @Py_DecRef(ptr %old)
  ret void
}}

define ptr @values_in(ptr %self, ptr %args, i64 %count) {{
start:
{values_in_arguments}
  %n = call i64 @PyList_Size(ptr %tensors)
  %found = call ptr @PyList_New(i64 0)
  br label %each

each:
  %i = phi i64 [0, %start], [%i.next, %one], [%i.next, %is.tensor], [%i.next, %is.in]
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i, %n
  br i1 %more, label %one, label %done

one:
  %t = call ptr @PyList_GetItem(ptr %tensors, i64 %i)
  %type = call ptr @slot(ptr %t, i64 {type})
  %known = call i32 @PyType_IsSubtype(ptr %type, ptr @tensor)
  %is.known = icmp ne i32 %known, 0
  br i1 %is.known, label %is.tensor, label %each

is.tensor:
  %its = call ptr @slot(ptr %t, i64 {_era})
  %same = icmp eq ptr %its, %era
  br i1 %same, label %is.in, label %each

is.in:
  %value = call ptr @slot(ptr %t, i64 {_var})
  %status = call i32 @PyList_Append(ptr %found, ptr %value)
  br label %each

done:
  ret ptr %found
}}

define ptr @pend(ptr %self, ptr %args, i64 %count) {{
start:
{pend_arguments}
  %t = call ptr @PyType_GenericAlloc(ptr @tensor, i64 0)
  %no.tensor = icmp eq ptr %t, null
  br i1 %no.tensor, label %failed, label %fill

fill:
  call void @Py_IncRef(ptr %era)
  call void @Py_IncRef(ptr %value)
  call void @Py_IncRef(ptr @none)
  call void @Py_IncRef(ptr @none)
  call void @put(ptr %t, i64 {_era}, ptr %era)
  call void @put(ptr %t, i64 {_var}, ptr %value)
  call void @put(ptr %t, i64 {_data}, ptr @none)
  call void @put(ptr %t, i64 {_x}, ptr @none)
  %status = call i32 @PyList_Append(ptr %pending, ptr %t)
  ret ptr %t

failed:
  ret ptr null
}}

define ptr @take_held(ptr %self, ptr %args, i64 %count) {{
start:
{take_held_arguments}
  br label %each

each:
  %n = call i64 @PyList_Size(ptr %pending)
  %more = icmp sgt i64 %n, 0
  br i1 %more, label %one, label %done

one:
  %last = sub i64 %n, 1
  %t = call ptr @PySequence_GetItem(ptr %pending, i64 %last)
  %cut = call i32 @PyList_SetSlice(ptr %pending, i64 %last, i64 %n, ptr null)
  %references.at = getelementptr i8, ptr %t, i64 {references}
  %references = load i32, ptr %references.at
  %is.held = icmp ne i32 %references, 1
  %its = call ptr @slot(ptr %t, i64 {_era})
  %same = icmp eq ptr %its, %era
  %is.live = and i1 %is.held, %same
  br i1 %is.live, label %live, label %drop

live:
  %status = call i32 @PyList_Append(ptr %found, ptr %t)
  %value = call ptr @slot(ptr %t, i64 {_var})
  %status.too = call i32 @PyList_Append(ptr %values, ptr %value)
  br label %drop

drop:
  call void @Py_DecRef(ptr %t)
  br label %each

done:
  call void @Py_IncRef(ptr @none)
  ret ptr @none
}}

define ptr @bind(ptr %self, ptr %args, i64 %count) {{
start:
{bind_arguments}
  %first = call i64 @PyLong_AsLongLong(ptr %from)
  %n = call i64 @PyList_Size(ptr %tensors)
  br label %each

each:
  %i = phi i64 [0, %start], [%i.next, %put.value]
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i, %n
  br i1 %more, label %one, label %done

one:
  %t = call ptr @PyList_GetItem(ptr %tensors, i64 %i)
  %k = add i64 %first, %i
  %array = call ptr @PySequence_GetItem(ptr %arrays, i64 %k)
  %no.array = icmp eq ptr %array, null
  br i1 %no.array, label %failed, label %put.array

put.array:
  call void @put(ptr %t, i64 {_data}, ptr %array)
  call void @Py_IncRef(ptr %era)
  call void @put(ptr %t, i64 {_era}, ptr %era)
  %value = call ptr @PySequence_GetItem(ptr %values, i64 %i)
  %no.value = icmp eq ptr %value, null
  br i1 %no.value, label %failed, label %put.value

put.value:
  call void @put(ptr %t, i64 {_var}, ptr %value)
  br label %each

failed:
  ret ptr null

done:
  call void @Py_IncRef(ptr @none)
  ret ptr @none
}}

define ptr @rewrite_plain(ptr %self, ptr %args, i64 %count) {{
start:
{rewrite_plain_arguments}
  %n = call i64 @PyList_Size(ptr %tensors)
  br label %each

each:
  %i = phi i64 [0, %start], [%i.next, %put.version]
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i, %n
  br i1 %more, label %one, label %done

one:
  %t = call ptr @PyList_GetItem(ptr %tensors, i64 %i)
  %x = call ptr @slot(ptr %t, i64 {_x})
  %is.bare = icmp eq ptr %x, @none
  br i1 %is.bare, label %done, label %look

look:
  %edge = call ptr @slot(ptr %x, i64 {edge})
  %no.edge = icmp eq ptr %edge, @none
  %views = call ptr @slot(ptr %x, i64 {views})
  %no.views = icmp eq ptr %views, @none
  %exported = call ptr @slot(ptr %x, i64 {exported})
  %not.exported = icmp eq ptr %exported, @false
  %is.alone = and i1 %no.edge, %no.views
  %is.plain = and i1 %is.alone, %not.exported
  br i1 %is.plain, label %plain, label %done

plain:
  %old = call ptr @slot(ptr %x, i64 {version})
  %version = call i64 @PyLong_AsLongLong(ptr %old)
  %version.next = add i64 %version, 1
  %new = call ptr @PyLong_FromLongLong(i64 %version.next)
  %no.new = icmp eq ptr %new, null
  br i1 %no.new, label %failed, label %put.version

put.version:
  call void @put(ptr %x, i64 {version}, ptr %new)
  call void @Py_IncRef(ptr @none)
  call void @put(ptr %t, i64 {_data}, ptr @none)
  call void @Py_IncRef(ptr @none)
  call void @put(ptr %t, i64 {_era}, ptr @none)
  br label %each

failed:
  ret ptr null

done:
  %result = call ptr @PyLong_FromLongLong(i64 %i)
  ret ptr %result
}}
"""


@once
def install() -> None:
    """Have `core.inner.inner` hold the native functions."""
    slots = {n: slot_offset(kind, n) for kind, names in _SLOTS for n in names.split()}
    arguments = {
        "values_in_arguments": loads("*era *tensors", "args"),
        "bind_arguments": loads("*tensors *arrays *from *era *values", "args"),
        "pend_arguments": loads("*era *pending *value", "args"),
        "rewrite_plain_arguments": loads("*tensors", "args"),
        "take_held_arguments": loads("*pending *era *found *values", "args"),
    }
    names = Inner.__slots__
    library = jit.engine().load(
        _CODE.format(references=layout.REFERENCES, type=layout.OBJECT_TYPE, **slots, **arguments),
        list(names),
        imports={
            "none": id(None),
            "false": id(False),
            "tensor": id(Tensor),
            **{name: interpreter(name) for name in _IMPORTS},
        },
    )
    for name in names:
        setattr(inner, name, builtin(library, name))
