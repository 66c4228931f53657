-- What a Lua program of some size does: closures, coroutines, metatables, string patterns, errors, sorting, files.
local function section(name) print("== " .. name) end

section("closures")
local function counter() local n = 0 return function() n = n + 1 return n end end
local a, b = counter(), counter()
print(a(), a(), b())

section("coroutines")
local function permutations(list, n)
    n = n or #list
    if n <= 1 then coroutine.yield(table.concat(list, " ")) return end
    for i = 1, n do
        list[n], list[i] = list[i], list[n]
        permutations(list, n - 1)
        list[n], list[i] = list[i], list[n]
    end
end
for p in coroutine.wrap(function() permutations { "a", "b", "c" } end) do print(p) end

section("errors")
print(pcall(function() error { code = 7 } end))
print(select(2, pcall(function() local x = nil; return x.field end)))
print(select("#", pcall(error)))
local ok, message = xpcall(function() return 1 + {} end, function(m) return "handled: " .. m end)
print(ok, message)
local depth = 0
local function deep() depth = depth + 1; return 1 + deep() end
print(pcall(deep))
print(depth > 1000)
local caught = 0
for i = 1, 20000 do if not pcall(error, i) then caught = caught + 1 end end
print(caught)
do
    local closed = {}
    local function guard(name) return setmetatable({}, { __close = function() closed[#closed + 1] = name end }) end
    pcall(function() local x <close> = guard "x"; local y <close> = guard "y"; error "out" end)
    print(table.concat(closed, ","))
end

section("strings")
local text = ("The quick brown fox jumps over the lazy dog. "):rep(50)
local count = {}
for word in text:gmatch("%a+") do word = word:lower(); count[word] = (count[word] or 0) + 1 end
local words = {}
for word in pairs(count) do words[#words + 1] = word end
table.sort(words, function(x, y) if count[x] ~= count[y] then return count[x] > count[y] end return x < y end)
for i = 1, 3 do print(words[i], count[words[i]]) end
print(("%5.2f|%-6s|%06d|%x|%q"):format(3.14159, "ab", 42, 255, 'quo"te\n'))
print(text:find("lazy", 1, true), (text:gsub("fox", "cat", 2)):sub(1, 30))
print(string.pack("<i4d", 7, 2.5):byte(1, -1))
print(utf8.char(228, 8364, 128512), utf8.len("äöü"))

section("numbers")
print(7 // 2, -7 // 2, 7 % -3, 7.5 // 2, 2 ^ 10, 1 / 3)
print(math.maxinteger + 1 == math.mininteger, 3 | 4, 7 & 2, ~0, 1 << 62)
print(string.format("%.14g", math.pi), math.tointeger(3.0), 10 // 0.0, -(0 / 0) ~= -(0 / 0))

section("objects")
local Account = {}
Account.__index = Account
Account.__add = function(x, y) return setmetatable({ balance = x.balance + y.balance }, Account) end
Account.__tostring = function(x) return "account of " .. x.balance end
function Account.new(n) return setmetatable({ balance = n }, Account) end
print(tostring(Account.new(30) + Account.new(12)))

section("sieve and sort")
local composite, primes = {}, {}
for i = 2, 20000 do
    if not composite[i] then
        primes[#primes + 1] = i
        for k = i * i, 20000, i do composite[k] = true end
    end
end
print(#primes, primes[#primes])
local seed, list, sum = 42, {}, 0
for i = 1, 20000 do seed = (seed * 1103515245 + 12345) % 2147483648; list[i] = seed end
table.sort(list)
for i = 1, #list, 100 do sum = (sum * 31 + list[i]) % 1000000007 end
print(sum)

section("garbage")
for i = 1, 200 do local t = {} for k = 1, 1000 do t[k] = { k } end end
collectgarbage()
print(collectgarbage("count") < 20000)

section("files")
local f = assert(io.open("written.txt", "w"))
for i = 1, 100 do f:write("line ", i, "\n") end
f:close()
local n = 0
for line in io.lines("written.txt") do n = n + #line end
print(n)
print(os.rename("written.txt", "renamed.txt"), (io.open("written.txt")))
print(os.remove("renamed.txt"))
